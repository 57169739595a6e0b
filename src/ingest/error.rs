//! Why a body is not taken.
//! In: nothing. Out: [`IngestError`], whose text is shown to the sender.
//! Never: says which HTTP status that is (`api` does).
//! Start at [`IngestError`].

use crate::wal::WalError;
use crate::wire::remote_write::BadBody;

#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The sender must not send it again as it is.
    #[error(transparent)]
    BadBody(#[from] BadBody),
    /// It will never be taken.
    #[error("the body is longer than {max} bytes")]
    TooLarge { max: usize },
    /// Later it will be.
    #[error("{0}; send it again later")]
    Busy(&'static str),
    /// Later it will be: the head has the samples, the log has not. The same samples a second time are fine.
    #[error(transparent)]
    Log(#[from] WalError),
    /// A fault of ours.
    #[error("internal error")]
    Internal,
}
