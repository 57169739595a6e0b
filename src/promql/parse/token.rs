//! The words of the language.
//! In: a piece of text. Out: [`Token`], and what an error message calls it.
//! Never: owns text; a token is a place in it.
//! Start at [`Kind`].

use super::super::ast::{AggregateOp, BinaryOp, Place};
use super::super::print::Quoted;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Bool,
    By,
    Without,
    On,
    Ignoring,
    GroupLeft,
    GroupRight,
    Fill,
    FillLeft,
    FillRight,
    Offset,
    Anchored,
    Smoothed,
    Start,
    End,
    Step,
    Range,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    End,
    Identifier,
    /// A name with a colon: of a metric, never of a label or function.
    MetricIdentifier,
    Text,
    Number,
    Duration,
    LeftParen,
    RightParen,
    LeftBrace,
    RightBrace,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    At,
    /// `=`
    Assign,
    /// `=~`
    Match,
    /// `!~`
    NotMatch,
    /// `min_of` within a duration.
    MinOf,
    /// `max_of` within a duration.
    MaxOf,
    Op(BinaryOp),
    Aggregator(AggregateOp),
    Keyword(Keyword),
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub kind: Kind,
    pub place: Place,
}

/// What a word means; case does not matter.
pub(super) fn keyword(word: &str) -> Option<Kind> {
    let lower = word.to_ascii_lowercase();
    Some(match lower.as_str() {
        "and" => Kind::Op(BinaryOp::And),
        "or" => Kind::Op(BinaryOp::Or),
        "unless" => Kind::Op(BinaryOp::Unless),
        "atan2" => Kind::Op(BinaryOp::Atan2),
        "sum" => Kind::Aggregator(AggregateOp::Sum),
        "avg" => Kind::Aggregator(AggregateOp::Avg),
        "count" => Kind::Aggregator(AggregateOp::Count),
        "min" => Kind::Aggregator(AggregateOp::Min),
        "max" => Kind::Aggregator(AggregateOp::Max),
        "group" => Kind::Aggregator(AggregateOp::Group),
        "stddev" => Kind::Aggregator(AggregateOp::Stddev),
        "stdvar" => Kind::Aggregator(AggregateOp::Stdvar),
        "topk" => Kind::Aggregator(AggregateOp::Topk),
        "bottomk" => Kind::Aggregator(AggregateOp::Bottomk),
        "count_values" => Kind::Aggregator(AggregateOp::CountValues),
        "quantile" => Kind::Aggregator(AggregateOp::Quantile),
        "limitk" => Kind::Aggregator(AggregateOp::Limitk),
        "limit_ratio" => Kind::Aggregator(AggregateOp::LimitRatio),
        "bool" => Kind::Keyword(Keyword::Bool),
        "by" => Kind::Keyword(Keyword::By),
        "without" => Kind::Keyword(Keyword::Without),
        "on" => Kind::Keyword(Keyword::On),
        "ignoring" => Kind::Keyword(Keyword::Ignoring),
        "group_left" => Kind::Keyword(Keyword::GroupLeft),
        "group_right" => Kind::Keyword(Keyword::GroupRight),
        "fill" => Kind::Keyword(Keyword::Fill),
        "fill_left" => Kind::Keyword(Keyword::FillLeft),
        "fill_right" => Kind::Keyword(Keyword::FillRight),
        "offset" => Kind::Keyword(Keyword::Offset),
        "anchored" => Kind::Keyword(Keyword::Anchored),
        "smoothed" => Kind::Keyword(Keyword::Smoothed),
        "start" => Kind::Keyword(Keyword::Start),
        "end" => Kind::Keyword(Keyword::End),
        "step" => Kind::Keyword(Keyword::Step),
        "range" => Kind::Keyword(Keyword::Range),
        "inf" | "nan" => Kind::Number,
        _ => return None,
    })
}

impl Kind {
    /// Whether the token is a word that may name a metric, although it also means something else.
    pub fn is_metric_name(self) -> bool {
        match self {
            Self::Identifier | Self::MetricIdentifier | Self::Aggregator(_) => true,
            Self::Op(op) => op.is_set(),
            Self::Keyword(k) => {
                !matches!(k, Keyword::Bool | Keyword::On | Keyword::Ignoring | Keyword::GroupLeft | Keyword::GroupRight)
            }
            _ => false,
        }
    }

    /// Whether the token is a word that may name a label in a list of labels.
    pub fn is_label_name(self) -> bool {
        match self {
            Self::Op(op) => op.is_set() || op == BinaryOp::Atan2,
            Self::Identifier | Self::MetricIdentifier | Self::Aggregator(_) | Self::Keyword(_) => true,
            _ => false,
        }
    }

    /// What an error message calls a token of this kind that reads `text`.
    pub fn described(self, text: &str) -> String {
        let shortened = || match text.char_indices().nth(10) {
            Some((cut, _)) if text.len() > 10 => format!("{}...", Quoted(&text[..cut])),
            _ => Quoted(text).to_string(),
        };
        match self {
            Self::End => "end of input".to_owned(),
            Self::Identifier => format!("identifier {}", Quoted(text)),
            Self::MetricIdentifier => format!("metric identifier {}", Quoted(text)),
            Self::Text => format!("string {}", shortened()),
            Self::Number => format!("number {}", shortened()),
            Self::Duration => format!("duration {}", shortened()),
            Self::Op(_) | Self::At | Self::Match | Self::NotMatch => format!("<op:{text}>"),
            Self::Aggregator(_) => format!("<aggr:{text}>"),
            Self::Keyword(Keyword::Start | Keyword::End | Keyword::Step | Keyword::Range) => shortened(),
            Self::Keyword(_) => format!("<{text}>"),
            _ => shortened(),
        }
    }
}
