//! Room on a page of operations.
//!
//! Pages, like frames, have a size that they should not exceed. An operation that exceeds it by
//! itself has to travel all the same, or nobody would ever get past it: so the first one on a page
//! fits whatever its size.

/// How much more fits on a page.
#[derive(Clone, Copy, Debug)]
pub struct PageRoom {
    left_bytes: usize,
    has_any: bool,
}

impl PageRoom {
    /// An empty page of so many bytes.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            left_bytes: bytes_max,
            has_any: false,
        }
    }

    /// Puts an operation of this size on the page, if it fits.
    #[must_use]
    pub fn take(&mut self, size_bytes: usize) -> bool {
        let left = self.left_bytes.checked_sub(size_bytes);
        let fits = left.is_some() || !self.has_any;
        if fits {
            self.left_bytes = left.unwrap_or(0);
            self.has_any = true;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(bytes_max: usize, sizes: &[usize]) -> usize {
        let mut room = PageRoom::new(bytes_max);
        sizes.iter().take_while(|size| room.take(**size)).count()
    }

    #[test]
    fn a_page_has_what_fits_and_the_first_whatever_its_size() {
        assert_eq!(taken(10, &[4, 6, 1]), 2);
        assert_eq!(taken(10, &[4, 7]), 1);
        assert_eq!(taken(10, &[11, 1]), 1);
        assert_eq!(taken(10, &[11, 0]), 2, "what needs no room has it");
        assert_eq!(taken(0, &[]), 0);
    }
}
