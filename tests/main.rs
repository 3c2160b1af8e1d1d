//! End to end: real workerd, real sandboxes, the real Claude Code, a real browser. Only the language
//! model is scripted. `cargo xtask test` builds what they need and runs them; one alone, by a part of
//! its name: `cargo xtask test queue`.

mod access;
mod agentctl;
mod automation;
mod bad_input;
mod browser;
mod control;
mod dev;
mod direct;
mod docker;
mod events;
mod files;
mod fly;
mod fork;
mod hello_world;
mod http_message;
mod identity;
mod interrupt;
mod limits;
mod litellm;
mod long_logs;
mod model_choice;
mod openapi;
mod orchestration;
mod outages;
mod panics;
mod permissions;
mod platform;
mod provider_failures;
mod providers;
mod queue;
mod reconnect;
mod repository;
mod router;
mod saves;
mod sharing;
mod spend;
mod storage;
mod streaming;
mod terminal;
mod versions;

use std::path::Path;

use xtask::stack::Provider;

fn main() {
    let arguments = libtest_mimic::Arguments::from_args();
    let local = world::Running::new(Provider::Local).expect("a runtime");
    let docker = world::Running::new(Provider::Cloudflare).expect("a runtime");
    let engine = providers::three().expect("a runtime");
    let guarded = access::guarded().expect("a runtime");
    let tests = [
        access::tests(&guarded),
        agentctl::tests(&local),
        agentctl::guarded_tests(&guarded),
        automation::tests(&guarded),
        bad_input::tests(&local),
        browser::tests(&local),
        control::tests(&local),
        browser::guarded_tests(&guarded),
        dev::tests(&local),
        direct::tests(&local),
        events::tests(&local),
        files::tests(&local, &guarded, &docker),
        fork::tests(&local),
        fork::guarded_tests(&guarded),
        hello_world::tests(&local),
        http_message::tests(&local),
        identity::tests(&guarded),
        interrupt::tests(&local),
        limits::tests(&local),
        litellm::tests(),
        long_logs::tests(&local),
        model_choice::tests(&local),
        openapi::tests(&local),
        orchestration::tests(&local),
        orchestration::guarded_tests(&guarded),
        orchestration::docker_tests(&docker),
        outages::tests(&local),
        panics::tests(&local),
        permissions::tests(&local),
        platform::tests(&local),
        platform::guarded_tests(&guarded),
        provider_failures::tests(&local),
        queue::tests(&local),
        reconnect::tests(&local),
        repository::tests(&local, &guarded, &docker),
        router::tests(&local),
        saves::tests(&local),
        sharing::tests(&guarded),
        spend::tests(&local),
        storage::tests(&local),
        streaming::tests(&local),
        terminal::tests(&local),
        terminal::guarded_tests(&guarded),
        versions::tests(&local),
        docker::tests(&docker),
        providers::tests(&engine, &docker),
    ]
    .concat_tests();
    let conclusion = libtest_mimic::run(&arguments, tests);
    for (name, world) in [
        ("local", local),
        ("guarded", guarded),
        ("docker", docker),
        ("engine", engine),
    ] {
        if let Some(log) = world.stop()
            && conclusion.has_failed()
        {
            // In a file: which tests have failed, and why, is what an output ends with.
            let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("stack-{name}.log"));
            match std::fs::write(&file, &log) {
                Ok(()) => eprintln!("what the parts printed: {}", file.display()),
                Err(error) => eprintln!("{error}; what the parts printed:\n{log}"),
            }
        }
    }
    fly::end();
    conclusion.exit();
}

trait ConcatTests {
    fn concat_tests(self) -> Vec<libtest_mimic::Trial>;
}

impl<const N: usize> ConcatTests for [Vec<libtest_mimic::Trial>; N] {
    fn concat_tests(self) -> Vec<libtest_mimic::Trial> {
        self.into_iter().flatten().collect()
    }
}
