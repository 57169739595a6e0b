//! Why a sample is not taken.
//! In: nothing. Out: [`AppendError`], whose text is shown to the sender.
//! Never: a reason to send the same sample again; all of these are final.
//! Start at [`AppendError`].

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error("out of order: older than the newest sample by more than the out-of-order window")]
    TooOld,
    #[error("duplicate sample for timestamp with another value")]
    DuplicateTimestamp,
    #[error("timestamp is further ahead of our clock than is taken (ingest.future_limit)")]
    TooFarAhead,
    #[error("too many series {what}: the limit of {limit} is reached, no new series of metric {metric:?} is taken")]
    TooManySeries { what: String, limit: usize, metric: String },
    /// The memory budget leaves this series out; its samples are counted, and the sender gets no 400 for them.
    #[error("the memory budget has no room for a new series of metric {metric:?}")]
    NoRoom { metric: String },
    #[error("{what} of metric {metric:?} is above the limit of {limit}")]
    LabelLimit { what: &'static str, limit: usize, metric: String },
}

impl AppendError {
    /// One word, as a label value of our own metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooOld => "too_old",
            Self::DuplicateTimestamp => "duplicate_timestamp",
            Self::TooFarAhead => "too_far_ahead",
            Self::TooManySeries { .. } => "too_many_series",
            Self::NoRoom { .. } => "no_room",
            Self::LabelLimit { .. } => "label_limit",
        }
    }
}
