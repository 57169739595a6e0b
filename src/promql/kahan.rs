//! Sums that lose no small terms: Kahan's, as Neumaier improved it, with Prometheus' handling of infinities.
//! In: floats. Out: their sum.
//! Never: gives a last digit other than Prometheus does.
//! Start at [`Kahan`].

/// A running sum and its compensation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kahan {
    pub sum: f64,
    pub c: f64,
}

impl Kahan {
    pub fn add(&mut self, inc: f64) {
        let t = self.sum + inc;
        if t.is_infinite() {
            self.c = 0.0;
        } else if self.sum.abs() >= inc.abs() {
            self.c += (self.sum - t) + inc;
        } else {
            self.c += (inc - t) + self.sum;
        }
        self.sum = t;
    }

    pub fn total(&self) -> f64 {
        if self.sum.is_infinite() { self.sum } else { self.sum + self.c }
    }
}

/// A running mean: a sum as long as that stays finite, then incremental.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mean {
    sum: Kahan,
    count: f64,
    incremental: bool,
}

impl Mean {
    pub fn add(&mut self, v: f64) {
        self.count += 1.0;
        if !self.incremental {
            let mut next = self.sum;
            next.add(v);
            if self.count == 1.0 || !next.sum.is_infinite() {
                self.sum = next;
                return;
            }
            // The sum overflows where the mean need not: go on with the mean.
            self.incremental = true;
            self.sum.sum /= self.count - 1.0;
            self.sum.c /= self.count - 1.0;
        }
        let q = (self.count - 1.0) / self.count;
        let mut next = Kahan { sum: q * self.sum.sum, c: q * self.sum.c };
        next.add(v / self.count);
        self.sum = next;
    }

    pub fn mean(&self) -> f64 {
        if self.incremental { self.sum.sum + self.sum.c } else { self.sum.sum / self.count + self.sum.c / self.count }
    }
}

/// A running population variance (Welford), both sums compensated.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Variance {
    count: f64,
    mean: Kahan,
    squares: Kahan,
}

impl Variance {
    pub fn add(&mut self, v: f64) {
        self.count += 1.0;
        let delta = v - (self.mean.sum + self.mean.c);
        self.mean.add(delta / self.count);
        self.squares.add(delta * (v - (self.mean.sum + self.mean.c)));
    }

    pub fn population(&self) -> f64 {
        (self.squares.sum + self.squares.c) / self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_terms_survive() {
        let mut sum = Kahan::default();
        for v in [1.0, 1e100, 1.0, -1e100] {
            sum.add(v);
        }
        assert_eq!(sum.total(), 2.0);
        let mut mean = Mean::default();
        for v in [f64::MAX, f64::MAX, f64::MAX] {
            mean.add(v);
        }
        assert!(mean.mean() > f64::MAX * 0.999_999);
        let mut mean = Mean::default();
        for v in [f64::INFINITY, 1.0, f64::NEG_INFINITY] {
            mean.add(v);
        }
        assert!(mean.mean().is_nan());
    }
}
