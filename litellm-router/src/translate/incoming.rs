//! A provider's stream while it is being turned into a reply, whatever dialect the provider speaks.

use crate::answer::Answer;
use crate::error::Refusal;
use crate::reply::Reply;

/// Bytes of a provider go in, and what the caller is to read comes out, in between as at the end.
///
/// One loop in a shell drives every such stream: `push` what has come, `take` and send what became
/// of it, until it `is_done`; `finish` when the provider's stream has ended, `fail` when something
/// else ends it, `ping` when the provider is silent.
pub trait Incoming {
    /// Reads more of what the provider sends. A chunk may end anywhere.
    fn push(&mut self, bytes: &[u8]);

    /// The provider's stream has ended. If the answer has not, it was cut, and fails.
    fn finish(&mut self);

    /// The stream ends here, for a reason outside of it.
    fn fail(&mut self, refusal: Refusal);

    /// Whether the answer is over, well or not, so that nothing more need be read.
    fn is_done(&self) -> bool;

    /// The error in which the answer ended.
    fn failed(&self) -> Option<&Refusal>;

    /// What has been said so far.
    fn reply(&mut self) -> &mut Reply;

    /// The whole answer of a stream that is over and of which nothing has been taken.
    fn answer(self: Box<Self>) -> Answer;

    /// What can be sent to the client now; empty for a caller that wants its answer whole.
    fn take(&mut self) -> Vec<u8> {
        self.reply().take()
    }

    /// Keeps the client waiting for a provider that says nothing.
    fn ping(&mut self) {
        self.reply().ping();
    }

    /// The error in which the stream ended, if the client has not been told anything yet: then it
    /// can have the error's own status.
    fn early_failure(&mut self) -> Option<Refusal> {
        let failed = self.failed()?.clone();
        (!self.reply().started()).then_some(failed)
    }
}
