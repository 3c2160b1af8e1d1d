//! What a call has used and what it cost.

use crate::config::ModelEntry;
use crate::reply::Usage;

/// What a deployment takes for a token, in US dollars. What the configuration does not say is not
/// known, which is not the same as free.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Prices {
    pub input: Option<f64>,
    pub output: Option<f64>,
    pub cache_read: Option<f64>,
    pub cache_write: Option<f64>,
}

impl Prices {
    /// The prices of an entry of the model list: `litellm_params` come before `model_info`.
    pub fn of(entry: &ModelEntry) -> Self {
        let (params, info) = (&entry.litellm_params, &entry.model_info);
        Self {
            input: params.input_cost_per_token.or(info.input_cost_per_token),
            output: params.output_cost_per_token.or(info.output_cost_per_token),
            cache_read: params
                .cache_read_input_token_cost
                .or(info.cache_read_input_token_cost),
            cache_write: params
                .cache_creation_input_token_cost
                .or(info.cache_creation_input_token_cost),
        }
    }

    /// The price of a call in US dollars. Tokens from or into a cache cost as much as others where
    /// the configuration has no price for them.
    pub fn cost(&self, usage: &Usage) -> Option<f64> {
        let (input, output) = (self.input?, self.output?);
        let of = |tokens: u64, price: f64| tokens as f64 * price;
        Some(
            of(usage.input_tokens, input)
                + of(usage.output_tokens, output)
                + of(
                    usage.cache_read_input_tokens,
                    self.cache_read.unwrap_or(input),
                )
                + of(
                    usage.cache_creation_input_tokens,
                    self.cache_write.unwrap_or(input),
                ),
        )
    }

    /// A token in and a token out together, by which deployments are compared.
    pub fn sum(&self) -> Option<f64> {
        Some(self.input? + self.output?)
    }
}

/// All tokens of a call, by which limits are counted.
pub fn tokens(usage: &Usage) -> u64 {
    usage
        .input_tokens
        .saturating_add(usage.output_tokens)
        .saturating_add(usage.cache_read_input_tokens)
        .saturating_add(usage.cache_creation_input_tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_that_is_not_known_is_not_nothing() {
        let usage = Usage {
            input_tokens: 1_000,
            output_tokens: 10,
            cache_read_input_tokens: 100,
            cache_creation_input_tokens: 0,
        };
        let mut prices = Prices::default();
        assert_eq!(prices.cost(&usage), None);
        prices.input = Some(0.001);
        prices.output = Some(0.002);
        assert!((prices.cost(&usage).unwrap() - 1.12).abs() < 1e-9);
        prices.cache_read = Some(0.0);
        assert!((prices.cost(&usage).unwrap() - 1.02).abs() < 1e-9);
        assert_eq!(tokens(&usage), 1_110);
    }
}
