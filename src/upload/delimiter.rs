//! Finds the delimiter between two parts, wherever the pushed chunks happen to be cut.

use memchr::memmem::Finder;

/// A search for `CRLF "--" boundary` that goes on from chunk to chunk.
///
/// CR stands at the beginning of the delimiter and nowhere else in it (a boundary has none). So after a mismatch no
/// shorter match can be under way, a partial match is remembered as a number, and no byte is looked at twice.
pub(super) struct Delimiter {
    finder: Finder<'static>,
    /// How much of the delimiter the input has shown so far.
    matched: usize,
}

impl Delimiter {
    pub(super) fn new(boundary: &str) -> Self {
        let text = format!("\r\n--{boundary}");
        Self { finder: Finder::new(text.as_bytes()).into_owned(), matched: 0 }
    }

    /// The delimiter as it stands in the body.
    pub(super) fn text(&self) -> &[u8] {
        self.finder.needle()
    }

    /// Gives `data` what stands in `input` before the delimiter. If the delimiter ends in `input`, returns how many
    /// bytes up to and with it; otherwise all of `input` has been used.
    pub(super) fn scan<E>(
        &mut self,
        input: &[u8],
        mut data: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<Option<usize>, E> {
        let text = self.finder.needle();
        if self.matched > 0 {
            let resumed = common_prefix(&text[self.matched..], input);
            self.matched += resumed;
            if self.matched == text.len() {
                self.matched = 0;
                return Ok(Some(resumed));
            }
            if resumed == input.len() {
                return Ok(None);
            }
            data(&text[..self.matched])?;
            self.matched = 0;
            return Ok(self.scan(&input[resumed..], data)?.map(|used| resumed + used));
        }
        if let Some(at) = self.finder.find(input) {
            data(&input[..at])?;
            return Ok(Some(at + text.len()));
        }
        let tail = input.len().saturating_sub(text.len() - 1);
        let begun = memchr::memchr_iter(b'\r', &input[tail..])
            .map(|at| tail + at)
            .find(|&at| text.starts_with(&input[at..]))
            .unwrap_or(input.len());
        self.matched = input.len() - begun;
        data(&input[..begun])?;
        Ok(None)
    }
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// What comes before the delimiter and after it, if it comes.
    fn split(boundary: &str, chunks: &[&[u8]]) -> (Vec<u8>, Option<Vec<u8>>) {
        let (mut delimiter, mut before, mut after) = (Delimiter::new(boundary), Vec::new(), None::<Vec<u8>>);
        for chunk in chunks {
            if let Some(after) = &mut after {
                after.extend_from_slice(chunk);
                continue;
            }
            let found = delimiter.scan(chunk, |data| {
                before.extend_from_slice(data);
                Ok::<_, Infallible>(())
            });
            after = found.unwrap().map(|used| chunk[used..].to_vec());
        }
        (before, after)
    }

    #[test]
    fn near_misses_are_data() {
        let input = b"a\r\n-\r\n--X\r\r\n--XB\r\n\r\n--XBX!";
        assert_eq!(split("XBX", &[input]), (b"a\r\n-\r\n--X\r\r\n--XB\r\n".to_vec(), Some(b"!".to_vec())));
    }

    proptest! {
        #[test]
        fn the_cut_of_the_input_does_not_matter(
            input in proptest::collection::vec(proptest::sample::select(b"\r\n-XB".to_vec()), 0..200),
            cuts in proptest::collection::vec(1usize..9, 1..200),
        ) {
            let whole = split("XB", &[&input]);
            let mut rest = &input[..];
            let mut chunks = Vec::new();
            for cut in cuts {
                let (chunk, more) = rest.split_at(cut.min(rest.len()));
                chunks.push(chunk);
                rest = more;
            }
            chunks.push(rest);
            let pieces = split("XB", &chunks);
            prop_assert_eq!(&pieces.1, &whole.1);
            if pieces.1.is_some() {
                prop_assert_eq!(&pieces.0, &whole.0);
            }
            let expected = input.windows(6).position(|w| w == b"\r\n--XB");
            prop_assert_eq!(expected, whole.1.map(|_| whole.0.len()));
        }
    }
}
