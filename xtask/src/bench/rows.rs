//! What is measured: each row is one kind of work, done by every gateway.

use super::requests;

/// The models that the upstream answers for and every gateway is configured with.
pub const MODELS: [&str; 4] = ["bench-20", "bench-200", "bench-2000", "bench-20-paced"];

/// One kind of work.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    pub title: &'static str,
    pub model: &'static str,
    pub tokens: usize,
    pub stream: bool,
    pub large: bool,
    /// How many clients ask at the same time.
    pub clients: usize,
    /// Whether the upstream waits between two tokens: then only delays are of interest.
    pub paced: bool,
}

const fn row(title: &'static str, clients: usize) -> Row {
    Row {
        title,
        model: "bench-20",
        tokens: 20,
        stream: true,
        large: false,
        clients,
        paced: false,
    }
}

const fn whole(title: &'static str, clients: usize) -> Row {
    Row {
        stream: false,
        ..row(title, clients)
    }
}

const fn long(title: &'static str, model: &'static str, tokens: usize) -> Row {
    Row {
        model,
        tokens,
        ..row(title, 1)
    }
}

pub const ROWS: [Row; 11] = [
    row("a stream of 20 tokens, 1 client", 1),
    row("a stream of 20 tokens, 16 clients", 16),
    row("a stream of 20 tokens, 64 clients", 64),
    whole("a whole answer, 1 client", 1),
    whole("a whole answer, 16 clients", 16),
    whole("a whole answer, 64 clients", 64),
    long("a stream of 200 tokens, 1 client", "bench-200", 200),
    long("a stream of 2,000 tokens, 1 client", "bench-2000", 2000),
    Row {
        large: true,
        ..row(
            "a first request of 76 kB, a stream of 20 tokens, 1 client",
            1,
        )
    },
    Row {
        large: true,
        ..row(
            "a first request of 76 kB, a stream of 20 tokens, 16 clients",
            16,
        )
    },
    Row {
        model: "bench-20-paced",
        paced: true,
        ..row("a token every 5 ms, 1 client", 1)
    },
];

impl Row {
    /// Whether it is measured also where there is little time: what a client alone waits for, and
    /// what a core can do for streams.
    pub fn is_quick(&self) -> bool {
        self.clients == 1 || (self.clients == 16 && self.stream && !self.large)
    }

    /// What a client sends for it.
    pub fn body(&self, model: &str) -> String {
        match self.large {
            true => requests::large(model, self.stream),
            false => requests::small(model, self.stream),
        }
    }
}
