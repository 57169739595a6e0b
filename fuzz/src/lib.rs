//! Budget: how much memory one input may take at its worst moment.
//! In: work on one input. Out: a panic, which the fuzzer keeps, when the work held more than its budget.
//! Never: counts what was held before; the allocator below counts every byte of the process.
//! Start at [`within`].

use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Runs `work` and fails when its peak was above `budget` bytes.
pub fn within<T>(what: &str, budget: usize, work: impl FnOnce() -> T) -> T {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let done = work();
    let peak = MEMORY.peak_usage().saturating_sub(before);
    assert!(peak <= budget, "{what} held {peak} bytes, its budget is {budget}");
    done
}
