//! From the model that a caller names to the deployments that answer for it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::config::{Alias, Config};
use crate::deployment::{Deployment, Environment, Target};

/// No model has a longer name; a longer one is not looked for.
const LONGEST_NAME: usize = 512;

/// All deployments that answer for a name. Never empty.
#[derive(Debug, Clone)]
pub struct Group {
    /// The `model_name` that matched, a pattern maybe.
    pub name: String,
    pub targets: Vec<Target>,
}

/// The model list, ready to be asked.
#[derive(Debug)]
pub struct Routes {
    deployments: Vec<Arc<Deployment>>,
    /// The entries of each name.
    exact: HashMap<String, Vec<usize>>,
    /// The names that can be listed: those of the file in its order, then what patterns serve of what the
    /// file names elsewhere.
    names: Vec<String>,
    /// What patterns serve of what only the keys of callers name.
    named_by_keys: Vec<String>,
    /// Longer patterns first, as LiteLLM sorts them.
    patterns: Vec<(String, Vec<usize>)>,
    aliases: BTreeMap<String, Alias>,
}

impl Routes {
    /// Sorts a model list and resolves what its entries take from the environment.
    pub fn new(config: &Config, environment: Environment) -> Self {
        let mut routes = Self {
            deployments: Vec::new(),
            exact: HashMap::new(),
            names: Vec::new(),
            named_by_keys: Vec::new(),
            patterns: Vec::new(),
            aliases: config.routing.aliases.clone(),
        };
        for (index, entry) in config.models.iter().enumerate() {
            let deployment = Deployment::new(index, config, entry, environment);
            routes.deployments.push(Arc::new(deployment));
            let name = &entry.model_name;
            if name.contains('*') {
                match routes.patterns.iter_mut().find(|(known, _)| known == name) {
                    Some((_, entries)) => entries.push(index),
                    None => routes.patterns.push((name.clone(), vec![index])),
                }
            } else {
                let entries = routes.exact.entry(name.clone()).or_default();
                if entries.is_empty() {
                    routes.names.push(name.clone());
                }
                entries.push(index);
            }
        }
        let shown = routes.aliases.iter().filter(|(_, alias)| !alias.hidden);
        routes.names.extend(shown.map(|(name, _)| name.clone()));
        let rank = |pattern: &str| (pattern.len(), pattern.matches('*').count());
        routes
            .patterns
            .sort_by(|(a, _), (b, _)| rank(b).0.cmp(&rank(a).0).then(rank(a).1.cmp(&rank(b).1)));
        routes.list_what_patterns_serve(config);
        routes
    }

    /// Lists the models that the file names elsewhere than as an entry, and a pattern serves: what other
    /// entries lead to, groups that have fallbacks or are some, what aliases mean, and what keys are for.
    fn list_what_patterns_serve(&mut self, config: &Config) {
        let routing = &config.routing;
        let led_to = config.models.iter().flat_map(|entry| {
            let model = &entry.litellm_params.model;
            self.names_for(model)
        });
        let fallbacks = [
            &routing.fallbacks,
            &routing.context_window_fallbacks,
            &routing.content_policy_fallbacks,
        ];
        let groups = fallbacks.into_iter().flatten();
        let groups = groups.flat_map(|(from, to)| to.iter().chain([from]));
        let shown = self.aliases.values().filter(|alias| !alias.hidden);
        let meant = shown.map(|alias| &alias.model);
        let keys = config.keys.iter().flat_map(|key| &key.models);
        let named = groups.chain(&routing.default_fallbacks).chain(meant);
        let mut seen = HashSet::new();
        let mut is_new = |name: &String| {
            let is_entry = self.exact.contains_key(name) || self.aliases.contains_key(name);
            !name.contains('*')
                && !is_entry
                && self.lookup(name).is_some()
                && seen.insert(name.clone())
        };
        let mut found: Vec<String> = led_to.chain(named.cloned()).collect();
        found.retain(&mut is_new);
        let mut held: Vec<String> = keys.cloned().collect();
        held.retain(&mut is_new);
        self.names.extend(found);
        self.named_by_keys = held;
    }

    /// What callers may call a provider's model by a pattern.
    fn names_for(&self, model: &str) -> Vec<String> {
        let patterns = self.patterns.iter();
        let pairs = patterns.flat_map(|(pattern, entries)| {
            let targets = entries
                .iter()
                .filter_map(|&entry| self.deployments.get(entry));
            targets.map(move |target| (pattern, &target.model))
        });
        let names =
            pairs.filter_map(
                |(pattern, target)| match captures(target, model)?.as_slice() {
                    [captured] if pattern.matches('*').count() == 1 => {
                        Some(pattern.replace('*', captured))
                    }
                    _ => None,
                },
            );
        names.collect()
    }

    /// Every deployment, in the order of the file.
    pub fn deployments(&self) -> &[Arc<Deployment>] {
        &self.deployments
    }

    /// The deployments for `model`: an exact name before a pattern, a longer pattern before a shorter
    /// one. A suffix in brackets, by which Claude Code asks for a large context (`[1m]`), is not part
    /// of a name unless the configuration has it.
    pub fn find(&self, model: &str) -> Option<Group> {
        if model.len() > LONGEST_NAME {
            return None;
        }
        let base = || Some(model.strip_suffix(']')?.rsplit_once('[')?.0);
        self.exactly(model)
            .or_else(|| self.lookup(base()?))
            .or_else(|| self.lookup(model))
    }

    fn meant<'a>(&'a self, model: &'a str) -> &'a str {
        self.aliases
            .get(model)
            .map_or(model, |alias| alias.model.as_str())
    }

    fn exactly(&self, model: &str) -> Option<Group> {
        let model = self.meant(model);
        let entries = self.exact.get(model)?;
        self.group(model, entries, model, &[])
    }

    fn lookup(&self, model: &str) -> Option<Group> {
        if let Some(group) = self.exactly(model) {
            return Some(group);
        }
        let model = self.meant(model);
        self.patterns.iter().find_map(|(pattern, entries)| {
            let captured = captures(pattern, model)?;
            self.group(pattern, entries, model, &captured)
        })
    }

    fn group(
        &self,
        name: &str,
        entries: &[usize],
        asked: &str,
        captured: &[&str],
    ) -> Option<Group> {
        let targets: Vec<_> = entries
            .iter()
            .filter_map(|&entry| {
                let deployment = self.deployments.get(entry)?;
                let model = substitute(&deployment.model, asked, captured);
                Some(Target::new(deployment, &model))
            })
            .collect();
        (!targets.is_empty()).then(|| Group {
            name: name.to_owned(),
            targets,
        })
    }

    /// The names that can be listed for anybody. A pattern is none, but what is known to be served by
    /// it is.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The names that can be listed besides, for who has a key of this router: those that only such keys
    /// name.
    pub fn named_by_keys(&self) -> &[String] {
        &self.named_by_keys
    }

    /// Up to three known names that look most like `model`, then the patterns.
    pub fn nearest(&self, model: &str) -> Vec<&str> {
        let model: String = model.chars().take(LONGEST_NAME).collect();
        let mut scored: Vec<(f64, &str)> = self
            .names
            .iter()
            .map(|name| (strsim::normalized_levenshtein(&model, name), name.as_str()))
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0));
        scored.into_iter().take(3).map(|(_, name)| name).collect()
    }

    /// The patterns of the model list, longest first.
    pub fn patterns(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().map(|(pattern, _)| pattern.as_str())
    }
}

/// What each `*` of `pattern` stands for in `name`; earlier ones take as much as they can, as in
/// LiteLLM, which makes a regular expression of it.
pub(crate) fn captures<'n>(pattern: &str, name: &'n str) -> Option<Vec<&'n str>> {
    let (head, rest) = pattern.split_once('*')?;
    let mut left = name.strip_prefix(head)?;
    let mut parts = rest.rsplit('*');
    left = left.strip_suffix(parts.next()?)?;
    let mut captured = Vec::new();
    for part in parts {
        let (before, after) = left.rsplit_once(part)?;
        captured.push(after);
        left = before;
    }
    captured.push(left);
    captured.reverse();
    Some(captured)
}

/// Puts what was captured into the stars of `target`. Where there are more captures than stars, what
/// the caller asked for takes the place of the whole, as in LiteLLM.
fn substitute(target: &str, asked: &str, captured: &[&str]) -> String {
    let stars = target.matches('*').count();
    if stars == 0 {
        return target.to_owned();
    }
    if captured.len() > stars {
        return asked.to_owned();
    }
    let mut captured = captured.iter();
    let mut filled = String::new();
    for (index, part) in target.split('*').enumerate() {
        if index > 0 {
            filled.push_str(captured.next().copied().unwrap_or_default());
        }
        filled.push_str(part);
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(pairs: &[(&str, &str)]) -> Routes {
        let list: String = pairs
            .iter()
            .map(|(name, model)| {
                format!("- {{model_name: '{name}', litellm_params: {{model: '{model}'}}}}\n")
            })
            .collect();
        let yaml = format!(
            "router_settings: {{model_group_alias: {{short: groq/fast}}}}\nmodel_list:\n{list}"
        );
        Routes::new(&Config::parse(&yaml).unwrap(), &|_| None)
    }

    fn target(routes: &Routes, model: &str) -> Option<(&'static str, String)> {
        let group = routes.find(model)?;
        let first = group.targets.first()?;
        Some((first.provider.name, first.model.clone()))
    }

    #[test]
    fn r28_exact_beats_pattern_and_longer_patterns_come_first() {
        let routes = routes(&[
            ("*", "openrouter/*"),
            ("groq/*", "groq/*"),
            ("groq/openai/*", "openai/*"),
            ("groq/fast", "groq/llama"),
        ]);
        let found = |model| target(&routes, model).unwrap();
        assert_eq!(found("groq/fast"), ("groq", "llama".into()));
        assert_eq!(found("groq/openai/x"), ("openai", "x".into()));
        assert_eq!(found("groq/y/z"), ("groq", "y/z".into()));
        assert_eq!(found("short"), ("groq", "llama".into()));
        assert_eq!(found("z-ai/glm"), ("openrouter", "z-ai/glm".into()));
    }

    #[test]
    fn r28_a_context_suffix_is_no_part_of_the_name() {
        let routes = routes(&[("claude-*", "anthropic/claude-*"), ("mine", "groq/a")]);
        assert_eq!(target(&routes, "mine[1m]"), Some(("groq", "a".into())));
        assert_eq!(
            target(&routes, "claude-x[1m]"),
            Some(("anthropic", "claude-x".into()))
        );
        assert_eq!(target(&routes, "other"), None);
        assert_eq!(target(&routes, &"m".repeat(5_000)), None);
    }

    #[test]
    fn two_entries_of_one_name_are_one_group() {
        let routes = routes(&[("a", "groq/one"), ("a", "openrouter/two")]);
        assert_eq!(routes.find("a").unwrap().targets.len(), 2);
        assert_eq!(routes.names(), ["a", "short"]);
    }

    #[test]
    fn c02_a_pattern_is_listed_as_what_the_file_names_and_it_serves() {
        let yaml = "
router_settings:
  model_group_alias: {short: groq/meant, quiet: {model: groq/hidden, hidden: true}}
  fallbacks: [{groq/asked: [groq/next, mine, 'groq/*', no-such]}]
  default_fallbacks: [groq/last, groq/next]
model_list:
- {model_name: mine, litellm_params: {model: groq/behind}}
- {model_name: fable, litellm_params: {model: anthropic/claude-fable}}
- {model_name: other, litellm_params: {model: openrouter/z}}
- {model_name: 'groq/*', litellm_params: {model: 'groq/*'}}
- {model_name: 'claude-*', litellm_params: {model: 'anthropic/claude-*'}}
general_settings:
  keys: [{name: k, key: sk, models: [claude-opus, 'claude-*', mine, unknown]}]
";
        let routes = Routes::new(&Config::parse(yaml).unwrap(), &|_| None);
        assert_eq!(
            routes.names(),
            [
                "mine",
                "fable",
                "other",
                "short",
                "groq/behind",
                "claude-fable",
                "groq/next",
                "groq/asked",
                "groq/last",
                "groq/meant"
            ]
        );
        assert_eq!(routes.named_by_keys(), ["claude-opus"]);
        assert!(
            routes
                .names()
                .iter()
                .all(|name| routes.find(name).is_some())
        );
    }

    #[test]
    fn stars_are_filled_in_order() {
        assert_eq!(captures("a/*-*", "a/x-y-z"), Some(vec!["x-y", "z"]));
        assert_eq!(captures("*", ""), Some(vec![""]));
        assert_eq!(captures("ab*ba", "aba"), None);
        assert_eq!(substitute("p/*", "whole", &["a", "b"]), "whole");
        assert_eq!(substitute("p/*/q/*", "whole", &["a"]), "p/a/q/");
    }

    #[test]
    fn the_nearest_names_come_first() {
        let routes = routes(&[("groq/kimi-k2", "groq/a"), ("local/demo", "demo/scripted")]);
        assert_eq!(routes.nearest("groq/kimi-k3")[0], "groq/kimi-k2");
    }
}
