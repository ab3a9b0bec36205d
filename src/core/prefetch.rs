//! Asking memory for what will be needed soon.

/// A hint that the start of this value will be read soon: it comes into the caches while the
/// processor goes on. Changes nothing that can be seen.
///
/// Where there is no such instruction to be had, the value is read without being looked at. That
/// is nearly as good as long as few reads are under way, so a value should be small.
#[inline]
pub(crate) fn prefetch<T: Copy>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    safe_arch::prefetch_t0(value);
    #[cfg(not(target_arch = "x86_64"))]
    core::hint::black_box(*value);
}
