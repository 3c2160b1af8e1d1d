//! A provider's stream while it is being turned into a reply, whatever dialect the provider speaks.

use crate::answer::Answer;
use crate::error::Refusal;
use crate::reply::Usage;

/// Bytes of a provider go in, and what the caller is to read comes out, in between as at the end.
///
/// [`crate::relay`] drives every such stream: `push` what has come, `take` and send what became of
/// it, until it `is_done`; `finish` when the provider's response has ended, `fail` when something
/// else ends it.
pub trait Incoming: Send {
    /// Reads more of what the provider sends. A chunk may end anywhere.
    fn push(&mut self, bytes: &[u8]);

    /// The provider's response has ended. If the answer has not, it was cut, and fails.
    fn finish(&mut self);

    /// The stream ends here, for a reason outside of it.
    fn fail(&mut self, refusal: Refusal);

    /// What can be sent to the client now; empty for a caller that wants its answer whole.
    fn take(&mut self) -> Vec<u8>;

    /// Whether the answer is over, well or not, so that nothing more need be read.
    fn is_done(&self) -> bool;

    /// The error in which the answer ended.
    fn failed(&self) -> Option<&Refusal>;

    /// That error, if the client has not been told anything yet: then the call can be tried again,
    /// or refused with a status of its own.
    fn early_failure(&mut self) -> Option<Refusal>;

    /// Whether a sign of life can be put in here.
    fn is_between_events(&self) -> bool;

    /// The tokens used, as far as they are known.
    fn usage(&self) -> Usage;

    /// The whole answer of a stream that is over and of which nothing has been taken.
    ///
    /// # Errors
    /// The error that it ended in.
    fn answer(self: Box<Self>) -> Result<(Answer, Usage), Refusal>;
}
