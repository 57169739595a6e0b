//! What of the language is experimental in Prometheus, each part behind a switch of its own.
//! In: nothing. Out: [`Features`].
//! Never: holds a switch for what Prometheus made part of the language (duration expressions, since 3.14).
//! Start at [`Features`].

/// How Prometheus' refusal of an experimental aggregation ends.
pub(super) const EXPERIMENTAL_FLAG: &str = "--enable-feature=promql-experimental-functions";

/// What may be written beyond the stable language; what is off is refused when an expression is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// `info`, `limitk`, `mad_over_time` and others: `promql-experimental-functions`.
    pub experimental_functions: bool,
    /// `anchored` and `smoothed`: `promql-extended-range-selectors`.
    pub extended_range_selectors: bool,
    /// `fill`, `fill_left` and `fill_right`: `promql-binop-fill-modifiers`.
    pub fill_modifiers: bool,
}

impl Features {
    pub const ALL: Self = Self { experimental_functions: true, extended_range_selectors: true, fill_modifiers: true };
}
