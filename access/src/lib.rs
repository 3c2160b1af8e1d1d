//! Who asks, and what they may. Pure: clocks, randomness, storage and the network are the caller's.
//!
//! | file | purpose |
//! | --- | --- |
//! | [`browser`] | what a request shows, and whether another site's page has made a browser ask |
//! | [`key`] | API keys |
//! | [`share`] | links to one session |
//! | [`jwt`] | identities of Cloudflare Access |
//! | [`principal`] | who asks, once that is known, and its scopes |
//! | [`door`] | who may into a session, and for how long |
//! | [`seal`] | how secrets are stored |
//! | [`secret`] | how secrets are compared, hashed and written |

pub mod browser;
pub mod door;
pub mod jwt;
pub mod key;
pub mod principal;
pub mod seal;
pub mod secret;
pub mod share;

pub use browser::{Asked, Shown};
pub use door::{Door, Pass, Right};
pub use key::ApiKey;
pub use principal::{Caller, Origin, Principal, Scopes, Via, Who};
pub use share::{Mode, ShareKey, ShareToken};
