//! The agents that an account's owner has configured.

use protocol::{Problem, ProblemKind};
use serde_json::{Value, json};

use super::{Object, failed, now};
use crate::rows::{integer, member, text};

/// Configurations of an account at most.
const MAX_CONFIGS: usize = 500;

impl Object {
    /// Keeps a configuration that has been checked. With `replace` it has to be there already, and
    /// without it must not.
    pub(super) fn put_config(&self, asked: &Value) -> Result<Value, Problem> {
        self.keep()?;
        let config = member(asked, "config");
        let id = text(&config, "id");
        let replace = asked.get("replace") == Some(&Value::Bool(true));
        let is_there = !self.get_config(&json!(id))?.is_null();
        if is_there && !replace {
            return Err(Problem::new(
                ProblemKind::Conflict,
                format!("there is a configuration {id} already; choose another id, or update it"),
            )
            .at("id"));
        }
        if !is_there && replace {
            return Err(unknown());
        }
        if !is_there && self.count("config", Vec::new())? >= MAX_CONFIGS as u64 {
            return Err(Problem::new(
                ProblemKind::Conflict,
                format!("this account has {MAX_CONFIGS} configurations; delete some first"),
            ));
        }
        let now = integer(now()).map_err(failed)?;
        self.sql
            .exec(
                "INSERT INTO config (id, config, made_at, changed_at) VALUES (?1, ?2, ?3, ?3)
                 ON CONFLICT (id) DO UPDATE SET config = ?2, changed_at = ?3",
                vec![id.into(), config.to_string().into(), now],
            )
            .map_err(failed)?;
        self.record(&member(asked, "deed"))
    }

    /// All of them, the one that was changed last first.
    pub(super) fn configs(&self) -> Result<Value, Problem> {
        let query = "SELECT config FROM config ORDER BY changed_at DESC, id";
        Ok(self.rows(query, Vec::new())?.into())
    }

    /// The one of an id; null where there is none.
    pub(super) fn get_config(&self, id: &Value) -> Result<Value, Problem> {
        let id = id.as_str().unwrap_or_default();
        let found = self.rows("SELECT config FROM config WHERE id = ?", vec![id.into()])?;
        Ok(found.into_iter().next().unwrap_or_default())
    }

    /// Deletes the one that a deed is about. Sessions that were launched from it keep what it was.
    pub(super) fn delete_config(&self, deed: &Value) -> Result<Value, Problem> {
        let id = text(deed, "about");
        if self.get_config(&json!(id))?.is_null() {
            return Err(unknown());
        }
        self.sql
            .exec("DELETE FROM config WHERE id = ?", vec![id.into()])
            .map_err(failed)?;
        self.record(deed)
    }
}

fn unknown() -> Problem {
    Problem::new(
        ProblemKind::NotFound,
        "there is no such configuration of this account's",
    )
}
