//! Frames: how a stream of bytes is cut into messages.
//!
//! ```text
//! +----------------+---------+------------------+
//! | length, u32 BE | kind u8 | payload          |
//! +----------------+---------+------------------+
//!                  |<------- length ----------->|
//! ```
//!
//! The length counts the kind and the payload, so it is at least 1. It is a claim of the peer, and
//! is therefore checked against the limit as soon as its four bytes are there; and even a length
//! within the limit reserves nothing: the buffer grows with what has arrived, so a peer makes this
//! node hold at most about twice what it has itself sent (and one chunk). What a kind means, and
//! that unknown ones are skipped, is for the layer above.
//!
//! *Time.* A peer that is silent, or sends one byte a minute, is not distinguished from a dead
//! one: from one complete frame to the next it has `silence_ms_max`. The deadline belongs to the
//! reader and not to the call, so it also holds when calls are given up in a `select!` loop. A
//! batch must be taken by the peer within `write_ms_max`.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::time::{Instant, timeout, timeout_at};

/// Bytes of the length field.
const LENGTH_BYTES: usize = 4;

/// Room offered to each read, and size of the buffer that gathers small frames for a write: the
/// largest TLS record (RFC 8446, section 5.1), since neither side gains by more.
const CHUNK_BYTES: usize = 16 * 1024;

/// What a peer may do to this node through one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// Greatest value of the length field, in bytes.
    pub length_bytes_max: u32,
    /// Longest time from one received frame to the next, in milliseconds.
    pub silence_ms_max: u64,
    /// Longest time for the peer to take a batch, in milliseconds.
    pub write_ms_max: u64,
}

impl Default for FrameLimits {
    /// 1 MiB; half a minute of silence, which a layer above with a shorter heartbeat never sees; a
    /// batch in 10 s. Guesses all three.
    fn default() -> Self {
        Self {
            length_bytes_max: 1 << 20,
            silence_ms_max: 30_000,
            write_ms_max: 10_000,
        }
    }
}

/// A frame as it came, not yet understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFrame {
    /// What sort of message it is.
    pub kind: u8,
    /// The message.
    pub payload: Vec<u8>,
}

impl RawFrame {
    /// The bytes that travel.
    ///
    /// # Panics
    /// If the payload has 4 GiB or more, which no limit allows.
    pub fn encode(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len() + 1).expect("a payload under 4 GiB");
        let mut bytes = Vec::with_capacity(LENGTH_BYTES + 1 + self.payload.len());
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.push(self.kind);
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

/// Cuts what a peer sends into frames.
#[derive(Debug)]
pub struct FrameReader<R> {
    source: R,
    limits: FrameLimits,
    /// What was received; what lies before `start` has been handed over.
    buffer: Vec<u8>,
    start: usize,
    /// When the next frame must be complete.
    deadline: Instant,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// A reader whose time for the first frame begins now.
    pub fn new(source: R, limits: FrameLimits) -> Self {
        Self {
            source,
            limits,
            buffer: Vec::new(),
            start: 0,
            deadline: deadline(&limits),
        }
    }

    /// The next frame.
    ///
    /// Cancel-safe: a call that is given up loses nothing. After an error the connection is of no
    /// more use, and further calls are not promised anything.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn read(&mut self) -> Result<RawFrame, ReadError> {
        loop {
            if let Some(frame) = self.take_frame()? {
                self.deadline = deadline(&self.limits);
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// The first frame in the buffer, if it is there whole.
    fn take_frame(&mut self) -> Result<Option<RawFrame>, ReadError> {
        let received = &self.buffer[self.start..];
        let Some((length, rest)) = received.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let claimed = u32::from_be_bytes(*length);
        if claimed == 0 {
            return Err(ReadError::Empty);
        }
        if claimed > self.limits.length_bytes_max {
            return Err(ReadError::TooLong {
                claimed_bytes: claimed,
                max_bytes: self.limits.length_bytes_max,
            });
        }
        let Some(frame) = rest.get(..claimed as usize) else {
            return Ok(None);
        };
        let taken = RawFrame {
            kind: frame[0],
            payload: frame[1..].to_vec(),
        };
        self.start += LENGTH_BYTES + claimed as usize;
        Ok(Some(taken))
    }

    /// Receives something more, which must be at least one byte.
    async fn fill(&mut self) -> Result<(), ReadError> {
        self.make_room();
        let reading = self.source.read_buf(&mut self.buffer);
        match timeout_at(self.deadline, reading).await {
            Ok(Ok(0)) if self.buffer.is_empty() => Err(ReadError::Closed),
            Ok(Ok(0)) => Err(ReadError::Cut),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Err(ReadError::Cut),
            Ok(Err(error)) => Err(ReadError::Io(error)),
            Err(_) => Err(ReadError::TimedOut {
                silence_ms_max: self.limits.silence_ms_max,
            }),
        }
    }

    /// Gives back what was handed over, and memory that only a large frame needed.
    fn make_room(&mut self) {
        self.buffer.drain(..self.start);
        self.start = 0;
        if self.buffer.len() < CHUNK_BYTES {
            self.buffer.shrink_to(2 * CHUNK_BYTES);
        }
        self.buffer.reserve(CHUNK_BYTES);
    }
}

fn deadline(limits: &FrameLimits) -> Instant {
    Instant::now() + Duration::from_millis(limits.silence_ms_max)
}

/// Sends batches of frames to a peer.
#[derive(Debug)]
pub struct FrameWriter<W> {
    sink: BufWriter<W>,
    limits: FrameLimits,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// A writer with nothing to send yet.
    pub fn new(sink: W, limits: FrameLimits) -> Self {
        Self {
            sink: BufWriter::with_capacity(CHUNK_BYTES, sink),
            limits,
        }
    }

    /// Sends encoded frames in their order and flushes once, all within `write_ms_max`.
    ///
    /// *Not* cancel-safe, and not to be called again after an error: the peer may have received
    /// part of a frame, so nothing sensible can follow.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn write(&mut self, batch: &[impl AsRef<[u8]>]) -> Result<(), WriteError> {
        let sink = &mut self.sink;
        let work = async {
            for frame in batch {
                sink.write_all(frame.as_ref()).await?;
            }
            sink.flush().await
        };
        within(self.limits.write_ms_max, work).await
    }

    /// Tells the peer that nothing more comes, so that it sees an orderly end.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn close(&mut self) -> Result<(), WriteError> {
        within(self.limits.write_ms_max, self.sink.shutdown()).await
    }
}

async fn within(
    write_ms_max: u64,
    work: impl Future<Output = io::Result<()>>,
) -> Result<(), WriteError> {
    match timeout(Duration::from_millis(write_ms_max), work).await {
        Ok(done) => done.map_err(WriteError::Io),
        Err(_) => Err(WriteError::TimedOut { write_ms_max }),
    }
}

/// Why there is no next frame.
#[derive(Debug)]
pub enum ReadError {
    /// The peer ended the session in order, after a whole frame.
    Closed,
    /// The connection ended within a frame, or without the peer saying so.
    Cut,
    /// A frame claims to have no kind.
    Empty,
    /// A frame claims to be longer than allowed.
    TooLong {
        /// What the frame claims.
        claimed_bytes: u32,
        /// What is allowed.
        max_bytes: u32,
    },
    /// No frame was complete in time.
    TimedOut {
        /// The time there was.
        silence_ms_max: u64,
    },
    /// The connection failed.
    Io(io::Error),
}

impl fmt::Display for ReadError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => write!(out, "the peer closed the session"),
            Self::Cut => write!(out, "the connection was cut"),
            Self::Empty => write!(out, "the peer sent a frame of length 0"),
            Self::TooLong {
                claimed_bytes,
                max_bytes,
            } => write!(
                out,
                "the peer announced a frame of {claimed_bytes} bytes, allowed are {max_bytes}"
            ),
            Self::TimedOut { silence_ms_max } => {
                write!(out, "no frame from the peer within {silence_ms_max} ms")
            }
            Self::Io(source) => write!(out, "reading from the peer failed: {source}"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(source) => Some(source),
            _ => None,
        }
    }
}

/// Why a batch was not sent.
#[derive(Debug)]
pub enum WriteError {
    /// The peer did not take it in time.
    TimedOut {
        /// The time there was.
        write_ms_max: u64,
    },
    /// The connection failed.
    Io(io::Error),
}

impl fmt::Display for WriteError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut { write_ms_max } => {
                write!(
                    out,
                    "the peer did not take a batch within {write_ms_max} ms"
                )
            }
            Self::Io(source) => write!(out, "writing to the peer failed: {source}"),
        }
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::TimedOut { .. } => None,
            Self::Io(source) => Some(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::duplex;

    fn limits(length_bytes_max: u32) -> FrameLimits {
        FrameLimits {
            length_bytes_max,
            silence_ms_max: 1_000,
            write_ms_max: 1_000,
        }
    }

    fn frame(kind: u8, payload: &[u8]) -> RawFrame {
        RawFrame {
            kind,
            payload: payload.to_vec(),
        }
    }

    /// What a reader makes of these bytes, followed by the end of the stream.
    async fn read_all(bytes: &[u8], limit: u32) -> (Vec<RawFrame>, ReadError) {
        let mut reader = FrameReader::new(bytes, limits(limit));
        let mut frames = Vec::new();
        loop {
            match reader.read().await {
                Ok(frame) => frames.push(frame),
                Err(error) => return (frames, error),
            }
        }
    }

    fn run<T>(test: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        runtime.expect("a runtime").block_on(test)
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_however_the_stream_is_cut(
            sent in proptest::collection::vec((any::<u8>(), 0_usize..3_000), 0..12),
            window_bytes in 1_usize..20_000,
            give_up in any::<bool>(),
        ) {
            let sent: Vec<RawFrame> = sent
                .iter()
                .map(|&(kind, length)| frame(kind, &vec![kind; length]))
                .collect();
            let batch: Vec<Vec<u8>> = sent.iter().map(RawFrame::encode).collect();
            run(async {
                let (near, far) = duplex(window_bytes);
                let write = async {
                    let mut writer = FrameWriter::new(near, limits(3_000));
                    writer.write(&batch).await.expect("writes");
                    writer.close().await.expect("closes");
                };
                let read = async {
                    let mut reader = FrameReader::new(far, limits(3_000));
                    let mut got = Vec::new();
                    loop {
                        let next = tokio::select! {
                            biased;
                            next = reader.read() => next,
                            () = std::future::ready(()), if give_up => {
                                tokio::task::yield_now().await;
                                continue;
                            }
                        };
                        match next {
                            Ok(frame) => got.push(frame),
                            Err(error) => return (got, error),
                        }
                    }
                };
                let ((), (got, end)) = tokio::join!(write, read);
                assert!(matches!(end, ReadError::Closed), "{end}");
                assert_eq!(got, sent);
            });
        }

        #[test]
        fn any_bytes_give_whole_frames_within_the_limit_and_then_an_error(
            bytes in proptest::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], 0..400),
        ) {
            let (frames, _) = run(read_all(&bytes, 100));
            let again: Vec<u8> = frames.iter().flat_map(RawFrame::encode).collect();
            prop_assert!(bytes.starts_with(&again));
            prop_assert!(frames.iter().all(|frame| frame.payload.len() < 100));
        }
    }

    #[test]
    fn the_length_counts_the_kind_and_the_payload_in_big_endian() {
        assert_eq!(frame(7, b"ab").encode(), [0, 0, 0, 3, 7, b'a', b'b']);
        assert_eq!(frame(9, b"").encode(), [0, 0, 0, 1, 9]);
    }

    #[test]
    fn a_frame_at_the_limit_is_read_and_one_beyond_is_refused_with_its_claim() {
        run(async {
            let (frames, end) = read_all(&frame(1, &[0; 9]).encode(), 10).await;
            assert_eq!(frames.len(), 1);
            assert!(matches!(end, ReadError::Closed), "{end}");
            let (frames, end) = read_all(&frame(1, &[0; 10]).encode(), 10).await;
            assert_eq!(frames.len(), 0);
            let expected = ReadError::TooLong {
                claimed_bytes: 11,
                max_bytes: 10,
            };
            assert_eq!(end.to_string(), expected.to_string());
        });
    }

    #[test]
    fn a_length_of_zero_is_refused() {
        let (_, end) = run(read_all(&[0, 0, 0, 0, 1], 10));
        assert!(matches!(end, ReadError::Empty), "{end}");
    }

    #[test]
    fn a_stream_that_ends_within_a_frame_is_cut() {
        let whole = frame(1, b"payload").encode();
        for length in 1..whole.len() {
            let (frames, end) = run(read_all(&whole[..length], 100));
            assert!(frames.is_empty());
            assert!(matches!(end, ReadError::Cut), "{end}");
        }
    }

    #[test]
    fn an_announcement_alone_reserves_no_memory() {
        run(async {
            let (mut near, far) = duplex(64);
            let mut reader = FrameReader::new(far, limits(u32::MAX));
            near.write_all(&[0xff; 9]).await.expect("writes");
            let end = reader.read().await.expect_err("nothing more comes");
            assert!(matches!(end, ReadError::TimedOut { .. }), "{end}");
            assert!(reader.buffer.capacity() <= 3 * CHUNK_BYTES);
        });
    }

    #[test]
    fn memory_of_a_large_frame_is_given_back() {
        run(async {
            let (near, far) = duplex(1 << 20);
            let mut writer = FrameWriter::new(near, limits(1 << 20));
            let mut reader = FrameReader::new(far, limits(1 << 20));
            let batch = [frame(1, &vec![0; 900_000]).encode()];
            writer.write(&batch).await.expect("writes");
            reader.read().await.expect("reads");
            assert!(reader.buffer.capacity() >= 900_000);
            writer
                .write(&[frame(2, b"").encode()])
                .await
                .expect("writes");
            reader.read().await.expect("reads");
            assert!(reader.buffer.capacity() <= 3 * CHUNK_BYTES);
        });
    }

    #[test]
    fn a_byte_now_and_then_does_not_count_as_life_even_if_reading_is_given_up_in_between() {
        run(async {
            let (mut near, far) = duplex(64);
            let mut reader = FrameReader::new(far, limits(1_000));
            let start = Instant::now();
            let mut bytes = frame(1, &[0; 200]).encode().into_iter();
            let end = loop {
                let byte = bytes.next().expect("the frame is not complete in time");
                near.write_all(&[byte]).await.expect("writes");
                if let Ok(read) = timeout(Duration::from_millis(100), reader.read()).await {
                    break read.expect_err("cannot be complete");
                }
            };
            assert!(matches!(end, ReadError::TimedOut { .. }), "{end}");
            assert!(start.elapsed() < Duration::from_millis(1_100));
        });
    }

    #[test]
    fn a_peer_that_does_not_read_is_given_up() {
        run(async {
            let (near, _far) = duplex(1_000);
            let mut writer = FrameWriter::new(near, limits(1_000));
            let batch = [frame(1, &[0; 20_000]).encode()];
            let end = writer.write(&batch).await.expect_err("cannot be taken");
            assert!(
                matches!(
                    end,
                    WriteError::TimedOut {
                        write_ms_max: 1_000
                    }
                ),
                "{end}"
            );
        });
    }
}
