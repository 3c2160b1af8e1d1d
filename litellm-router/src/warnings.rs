//! What is wrong with a configuration that can be read.

use crate::config::Config;
use crate::deployment::{Environment, Target};
use crate::route::{self, Routes};
use crate::usage::Prices;

/// What the configuration names and nobody has: variables, addresses, prices, groups to fall back on. One
/// line for each, beginning with its place.
pub fn missing(config: &Config, routes: &Routes, environment: Environment) -> Vec<String> {
    let mut missing = Vec::new();
    let mut check = |place: &str, setting: &str| {
        if setting.starts_with("os.environ/") && config.resolve(setting, environment).is_none() {
            missing.push(format!("{place}: the variable {setting} is not set"));
        }
    };
    for (index, entry) in config.models.iter().enumerate() {
        let params = &entry.litellm_params;
        let place = format!("model_list.{index}.litellm_params");
        for (name, setting) in [("api_key", &params.api_key), ("api_base", &params.api_base)] {
            if let Some(setting) = setting {
                check(&format!("{place}.{name}"), setting);
            }
        }
        for (name, setting) in params.extra_headers.iter().flatten() {
            check(&format!("{place}.extra_headers.{name}"), setting);
        }
    }
    let master = match &config.master_key {
        Some(setting) => config.resolve(setting, environment),
        None => config.variable("LITELLM_MASTER_KEY", environment),
    };
    for (place, key) in config.keys.iter().enumerate() {
        let Some(value) = config.resolve(&key.key, environment) else {
            let why = match key.key.strip_prefix("os.environ/") {
                Some(_) => format!("the variable {} is not set", key.key),
                None => "it is empty".into(),
            };
            missing.push(format!(
                "general_settings.keys ({}): {why}, and nobody can present it",
                key.name
            ));
            continue;
        };
        if master.as_ref() == Some(&value) {
            missing.push(format!(
                "general_settings.keys ({}): it is the master key, which is for every model and has no \
                 limits",
                key.name
            ));
        }
        let earlier = config.keys.iter().take(place);
        let mut same = earlier
            .filter(|other| config.resolve(&other.key, environment).as_ref() == Some(&value));
        if let Some(other) = same.next() {
            missing.push(format!(
                "general_settings.keys ({}): it is the same key as {}, whose models and limits count",
                key.name, other.name
            ));
        }
    }
    for key in &config.keys {
        for model in &key.models {
            let entries = config.models.iter().map(|entry| &entry.model_name);
            let mut names = entries.chain(config.routing.aliases.keys());
            if routes.find(model).is_none() && !names.any(|name| may_meet(model, name)) {
                missing.push(format!(
                    "general_settings.keys ({}): no entry of the model list answers for {model}",
                    key.name
                ));
            }
        }
    }
    let mut ids = std::collections::BTreeSet::new();
    for (index, entry) in config.models.iter().enumerate() {
        if let Some(id) = &entry.model_info.id
            && !ids.insert(id)
        {
            missing.push(format!(
                "model_list.{index}.model_info.id: an earlier entry has the id {id} too; their \
                 numbers are not told apart"
            ));
        }
    }
    for origin in &config.allowed_origins {
        let after_scheme = origin.split_once("://").map(|(_, host)| host);
        if origin != "*" && after_scheme.is_none_or(|host| host.is_empty() || host.contains('/')) {
            missing.push(format!(
                "general_settings.allowed_origins: no page has the origin {origin}; one is written \
                 as https://ui.example, without a path or a slash at its end"
            ));
        }
    }
    let limits = config.keys.iter().map(|key| &key.limits);
    let mut limits = limits.chain([&config.session_limits]);
    if limits.any(|limits| limits.max_budget.is_some()) {
        for (index, entry) in config.models.iter().enumerate() {
            let is_free = entry.litellm_params.model.starts_with("demo/");
            if !is_free && Prices::of(entry).sum().is_none() {
                missing.push(format!(
                    "model_list.{index} ({}): a budget does not count its calls, because it has no \
                     input_cost_per_token and output_cost_per_token",
                    entry.model_name
                ));
            }
        }
    }
    if config.models.is_empty() {
        missing.push("model_list: there is no entry, so that no model can be called".into());
    }
    for deployment in routes.deployments() {
        let target = Target::new(deployment, &deployment.model);
        let place = format!("model_list.{} ({})", deployment.entry, deployment.group);
        let is_address = |base: &str| base.starts_with("http://") || base.starts_with("https://");
        if target.is_played_here() {
            continue;
        }
        if target.api_base().is_empty() && !deployment.model.starts_with('*') {
            missing.push(format!(
                "{place}: {} begins with no provider that is known here, and there is no api_base",
                deployment.model
            ));
        } else if !target.api_base().is_empty() && !is_address(target.api_base()) {
            missing.push(format!(
                "{place}: api_base begins with neither http:// nor https://"
            ));
        }
    }
    for (name, alias) in &config.routing.aliases {
        if routes.find(&alias.model).is_none() {
            missing.push(format!(
                "router_settings.model_group_alias.{name}: no entry of the model list answers for {}",
                alias.model
            ));
        }
    }
    let routing = &config.routing;
    let lists = [
        ("fallbacks", &routing.fallbacks),
        (
            "context_window_fallbacks",
            &routing.context_window_fallbacks,
        ),
        (
            "content_policy_fallbacks",
            &routing.content_policy_fallbacks,
        ),
    ];
    let named = lists.iter().flat_map(|(list, fallbacks)| {
        let places = fallbacks.iter();
        places.flat_map(move |(from, to)| to.iter().map(move |to| (format!("{list}.{from}"), to)))
    });
    let defaults = routing.default_fallbacks.iter();
    let named = named.chain(defaults.map(|to| ("default_fallbacks".to_owned(), to)));
    for (place, name) in named {
        if routes.find(name).is_none() {
            missing.push(format!(
                "router_settings.{place}: no entry of the model list answers for {name}"
            ));
        }
    }
    missing
}

/// Whether there may be a name that both fit, of which either may be a pattern.
fn may_meet(one: &str, other: &str) -> bool {
    fn ends(pattern: &str) -> Option<(&str, &str)> {
        let (head, _) = pattern.split_once('*')?;
        let (_, tail) = pattern.rsplit_once('*')?;
        Some((head, tail))
    }
    match (ends(one), ends(other)) {
        (None, None) => one == other,
        (Some(_), None) => route::captures(one, other).is_some(),
        (None, Some(_)) => route::captures(other, one).is_some(),
        (Some((head, tail)), Some((other_head, other_tail))) => {
            (head.starts_with(other_head) || other_head.starts_with(head))
                && (tail.ends_with(other_tail) || other_tail.ends_with(tail))
        }
    }
}
