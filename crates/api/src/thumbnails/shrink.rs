//! Scaling down row by row: each pixel of the result is the mean of a block of pixels. Blocks are
//! whole pixels, so they differ in size by one if the sizes are no multiples of each other.

/// Image that is being scaled down.
pub struct Shrink {
    /// First column of each block, and the end of the last one.
    columns: Vec<usize>,
    /// First row of each block, and the end of the last one.
    rows: Vec<usize>,
    /// Number of samples of a pixel, 1 to 4.
    samples: usize,
    /// Number of rows that were added.
    added: usize,
    /// Sums of the samples in the present row of blocks.
    sums: Vec<u64>,
    result: Vec<u8>,
}

impl Shrink {
    /// Scale an image down to a size that is not larger. Sizes are in pixels, width first.
    pub fn new(from: (u32, u32), to: (u32, u32), samples: usize) -> Self {
        let bounds = |from: u32, to: u32| {
            let bound = |index| u64::from(index) * u64::from(from) / u64::from(to.max(1));
            (0..=to).map(|index| bound(index) as usize).collect()
        };
        Self {
            columns: bounds(from.0, to.0),
            rows: bounds(from.1, to.1),
            samples,
            added: 0,
            sums: vec![0; to.0 as usize * samples],
            result: Vec::with_capacity(to.0 as usize * to.1 as usize * samples),
        }
    }

    /// Add the next row. Rows and samples beyond the size of the image are ignored.
    pub fn add_row(&mut self, row: &[u8]) {
        match self.samples {
            1 => self.add::<1>(row),
            2 => self.add::<2>(row),
            3 => self.add::<3>(row),
            _ => self.add::<4>(row),
        }
        self.added += 1;
        if self.rows.binary_search(&self.added).is_ok() {
            self.finish_blocks();
        }
    }

    /// Result. Samples are missing if rows were.
    pub fn finish(self) -> Vec<u8> {
        self.result
    }

    fn add<const SAMPLES: usize>(&mut self, row: &[u8]) {
        let (pixels, _) = row.as_chunks::<SAMPLES>();
        let (sums, _) = self.sums.as_chunks_mut::<SAMPLES>();
        for (block, sums) in self.columns.windows(2).zip(sums) {
            // Rows of at most 65,535 pixels cannot overflow it.
            let mut block_sums = [0_u32; SAMPLES];
            for pixel in pixels.get(block[0]..block[1]).unwrap_or_default() {
                for (sum, sample) in block_sums.iter_mut().zip(pixel) {
                    *sum += u32::from(*sample);
                }
            }
            for (sum, block_sum) in sums.iter_mut().zip(block_sums) {
                *sum += u64::from(block_sum);
            }
        }
    }

    /// Append the means of the present row of blocks to the result.
    fn finish_blocks(&mut self) {
        let finished = self.result.len() / self.sums.len().max(1);
        let [start, end] = [finished, finished + 1].map(|index| self.rows.get(index).copied());
        let rows = end.unwrap_or_default().saturating_sub(start.unwrap_or_default());
        let blocks = self.columns.windows(2).map(|block| ((block[1] - block[0]) * rows) as u64);
        for (count, sums) in blocks.zip(self.sums.chunks_exact_mut(self.samples)) {
            let count = count.max(1);
            self.result.extend(sums.iter().map(|sum| ((sum + count / 2) / count) as u8));
            sums.fill(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pixel_is_the_rounded_mean_of_its_block() {
        let mut shrink = Shrink::new((5, 3), (2, 2), 2);
        for row in [[1, 0, 2, 0, 3, 9, 4, 9, 8, 9], [5; 10], [8; 10]] {
            shrink.add_row(&row);
        }
        // Blocks of two and three columns, and of one and two rows.
        assert_eq!(shrink.finish(), [2, 0, 5, 9, 7, 7, 7, 7]);
    }
}
