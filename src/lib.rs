//! The Worker: routes, and the Durable Objects that a session is made of.
//!
//! | room | purpose |
//! | --- | --- |
//! | [`routes`] | what the outside can ask, and who answers |
//! | [`admission`] | who asks |
//! | [`account`] | one object an owner: its API keys, and what was done in its name |
//! | [`limits`] | how much anybody may ask for |
//! | [`session`] | one object a session: log, sockets, turns (around the pure crate of that name) |
//! | [`container`] | one object a sandbox: the only place that knows where it runs |
//! | [`egress`] | one object a sandbox: what leaves it arrives here, and only here |
//! | [`orchestration`] | agents that work with others: the server of tools for that |
//! | [`models`] | which models there are, as the router says |
//! | [`rows`] | how rows of a database are read, and written together |
//! | [`secrets`] | with what secrets are sealed that have to be stored |
//! | [`zones`] | time zones, as the platform knows them |
//! | [`answer`] | how answers and problems are written |

mod account;
mod admission;
mod answer;
mod container;
mod egress;
mod limits;
mod models;
mod orchestration;
mod random;
pub mod routes;
mod rows;
mod secrets;
mod session;
mod zones;

use worker::{Context, Env, Request, Response, Result, event};

#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    routes::answer(request, env).await
}
