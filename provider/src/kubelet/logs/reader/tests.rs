//! The reader against a stream that behaves as badly as `GetLogEvents` may: pages short and empty, tokens that expire,
//! calls that fail, lines that arrive late.

use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use parking_lot::Mutex;
use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::fargate::ecs;

/// A stream in memory.
#[derive(Debug, Default)]
struct Fake {
    state: Mutex<Content>,
    ended: AtomicBool,
}

#[derive(Debug, Default)]
struct Content {
    events: Option<Vec<Event>>,
    /// Sizes of the pages, one after the other; whole ones when there are none.
    sizes: Vec<usize>,
    /// Empty pages before each page that has events.
    gaps: usize,
    calls: usize,
    /// The tokens of earlier generations have expired.
    generation: u32,
    failures: usize,
}

impl Fake {
    fn new(events: impl IntoIterator<Item = Event>) -> Arc<Self> {
        let content = Content { events: Some(events.into_iter().collect()), ..Content::default() };
        Arc::new(Self { state: Mutex::new(content), ended: AtomicBool::new(false) })
    }

    fn append(&self, events: impl IntoIterator<Item = Event>) {
        self.state.lock().events.get_or_insert_default().extend(events);
    }

    fn reader(self: &Arc<Self>, window: Window) -> Reader {
        let ended = {
            let fake = Arc::clone(self);
            move || fake.ended.load(Ordering::Relaxed)
        };
        let stream = Stream { group: "g".into(), name: "s".into() };
        Reader::new(Arc::clone(self) as Arc<dyn Source>, stream, window, Box::new(ended))
    }
}

impl Content {
    fn page(&mut self, stream: &Stream, request: &Request) -> Result<Option<Page>, Error> {
        self.calls += 1;
        if self.failures > 0 {
            self.failures -= 1;
            return Err(Error::Unavailable { stream: stream.clone(), source: trouble() });
        }
        let Some(events) = &self.events else { return Ok(None) };
        let begin =
            events.partition_point(|event| request.start.is_some_and(|start| event.timestamp < start));
        let token =
            |direction: char, at: usize, gap: usize| format!("{direction}/{at}/{gap}/{}", self.generation);
        let (forward, at, gap) = match &request.position {
            Position::Head => (true, begin, 0),
            Position::Tail => (false, events.len(), 0),
            Position::After(token) | Position::Before(token) => {
                let parts: Vec<usize> = token.split('/').skip(1).map(|part| part.parse().unwrap()).collect();
                if parts[2] != self.generation as usize {
                    return Err(Error::Token { stream: stream.clone() });
                }
                (matches!(request.position, Position::After(_)), parts[0], parts[1])
            }
        };
        let size = match self.sizes.len() {
            0 => usize::MAX,
            sizes => self.sizes[self.calls % sizes],
        };
        let size = size.min(request.limit.map_or(usize::MAX, |limit| limit as usize));
        let (from, to) = match forward {
            true => (at, at.saturating_add(size).min(events.len())),
            false => (at.saturating_sub(size).max(begin.min(at)), at),
        };
        if from == to {
            return Ok(Some(Page {
                events: vec![],
                forward: token('f', at, gap),
                backward: token('b', at, gap),
            }));
        }
        if gap < self.gaps {
            let (ahead, back) = if forward { (gap + 1, 0) } else { (0, gap + 1) };
            return Ok(Some(Page {
                events: vec![],
                forward: token('f', at, ahead),
                backward: token('b', at, back),
            }));
        }
        Ok(Some(Page {
            events: events[from..to].to_vec(),
            forward: token('f', to, 0),
            backward: token('b', from, 0),
        }))
    }
}

#[async_trait]
impl Source for Fake {
    async fn page(&self, stream: &Stream, request: &Request) -> Result<Option<Page>, Error> {
        self.state.lock().page(stream, request)
    }
}

fn trouble() -> ecs::Error {
    ecs::Error::Trouble { operation: "GetLogEvents", message: "503".to_owned() }
}

/// Lines `range`, three of them in each millisecond.
fn lines(range: std::ops::Range<i64>) -> Vec<Event> {
    range.map(|n| Event { timestamp: 1_000 + n / 3, message: n.to_string() }).collect()
}

async fn all(mut reader: Reader) -> Vec<Event> {
    let mut given = Vec::new();
    while let Some(events) = reader.next().await.unwrap() {
        assert!(!events.is_empty());
        given.extend(events);
    }
    given
}

fn paused() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

proptest! {
    #[test]
    fn a_window_is_the_last_lines_since_the_time_however_the_pages_fall(
        count in 0_i64..60,
        sizes in vec(1_usize..9, 0..5),
        gaps in 0_usize..3,
        tail in option::of(0_u64..70),
        since in option::of(995_i64..1_025),
        follow: bool,
    ) {
        let fake = Fake::new(lines(0..count));
        {
            let mut content = fake.state.lock();
            (content.sizes, content.gaps) = (sizes, gaps);
        }
        fake.ended.store(true, Ordering::Relaxed);
        let given = paused().block_on(all(fake.reader(Window { tail, since, follow })));

        let wanted: Vec<Event> =
            lines(0..count).into_iter().filter(|e| since.is_none_or(|since| e.timestamp >= since)).collect();
        let from = tail.map_or(0, |tail| wanted.len().saturating_sub(tail.try_into().unwrap()));
        prop_assert_eq!(&given, &wanted[from..]);
    }

    #[test]
    fn a_follower_gets_each_line_once_though_its_tokens_die_and_calls_fail(
        before in 0_i64..20,
        batches in vec((0_i64..12, any::<bool>(), 0_usize..3), 0..8),
        sizes in vec(1_usize..5, 0..4),
        tail in option::of(1_u64..30),
    ) {
        let fake = Fake::new(lines(0..before));
        fake.state.lock().sizes = sizes;
        let from = tail.map_or(0, |tail| (before - i64::try_from(tail).unwrap()).max(0));
        let (given, wanted) = paused().block_on(async {
            let reading = tokio::spawn(all(fake.reader(Window { tail, follow: true, ..Window::default() })));
            let (mut wanted, mut total) = (lines(from..before), before);
            for (count, expire, failures) in batches {
                tokio::time::sleep(Duration::from_secs(5)).await;
                // A later time: tokens live for a day.
                let first = (total + 2) / 3 * 3;
                total = first + count;
                fake.append(lines(first..total));
                wanted.extend(lines(first..total));
                let mut content = fake.state.lock();
                content.generation += u32::from(expire);
                content.failures = failures;
            }
            tokio::time::sleep(Duration::from_secs(5)).await;
            fake.ended.store(true, Ordering::Relaxed);
            (reading.await.unwrap(), wanted)
        });
        prop_assert_eq!(given, wanted);
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_tail_is_one_call_and_a_quiet_follower_a_few_a_second() {
    let fake = Fake::new(lines(0..500));
    assert_eq!(all(fake.reader(Window { tail: Some(20), ..Window::default() })).await, lines(480..500));
    assert_eq!(fake.state.lock().calls, 1);

    let window = Window { tail: Some(0), follow: true, ..Window::default() };
    let reading = tokio::spawn(all(fake.reader(window)));
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let calls = fake.state.lock().calls;
    assert!(calls < 3_600 * 5 / 2 + 300, "{calls} calls in an hour of silence");
    fake.ended.store(true, Ordering::Relaxed);
    assert_eq!(reading.await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_new_line_is_returned_within_a_poll_and_a_chatty_stream_costs_no_more_calls() {
    let fake = Fake::new(vec![]);
    let mut reader = fake.reader(Window { follow: true, ..Window::default() });
    reader.open().await.unwrap();
    let writing = {
        let fake = Arc::clone(&fake);
        tokio::spawn(async move {
            for n in 0..100 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                fake.append(lines(n..n + 1));
            }
        })
    };
    let begin = Instant::now();
    let mut given = 0;
    while given < 100 {
        given += reader.next().await.unwrap().unwrap().len();
        let written = usize::try_from(begin.elapsed().as_millis() / 100).unwrap().min(100);
        assert!(given + 1 >= written, "{given} given of {written} written");
    }
    assert!(begin.elapsed() <= Duration::from_millis(10_250), "took {:?}", begin.elapsed());
    assert!(fake.state.lock().calls <= 45, "{} calls in ten seconds", fake.state.lock().calls);
    writing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_line_that_arrives_just_after_the_end_is_still_returned() {
    let fake = Fake::new(lines(0..3));
    let reading = tokio::spawn(all(fake.reader(Window { follow: true, ..Window::default() })));
    tokio::time::sleep(Duration::from_secs(10)).await;
    fake.ended.store(true, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(900)).await;
    fake.append(lines(3..5));
    let ended = Instant::now();
    assert_eq!(reading.await.unwrap(), lines(0..5));
    assert!(ended.elapsed() < Duration::from_secs(2), "ended {:?} later", ended.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_there_is_empty_and_a_follower_waits_for_it() {
    for tail in [None, Some(0), Some(5)] {
        let fake = Arc::new(Fake::default());
        assert_eq!(all(fake.reader(Window { tail, ..Window::default() })).await, []);
        let reading = tokio::spawn(all(fake.reader(Window { tail, follow: true, ..Window::default() })));
        tokio::time::sleep(Duration::from_secs(5)).await;
        fake.append(lines(0..2));
        tokio::time::sleep(Duration::from_secs(5)).await;
        fake.ended.store(true, Ordering::Relaxed);
        assert_eq!(reading.await.unwrap(), lines(0..2), "tail {tail:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn trouble_ends_a_plain_read_and_is_reported_for_the_first_page_in_any_case() {
    let fake = Fake::new(lines(0..10));
    fake.state.lock().failures = 1;
    let mut following = fake.reader(Window { follow: true, ..Window::default() });
    assert!(matches!(following.open().await, Err(Error::Unavailable { .. })));

    fake.state.lock().sizes = vec![4];
    let mut reader = fake.reader(Window::default());
    assert_eq!(reader.next().await.unwrap(), Some(lines(0..4)));
    fake.state.lock().failures = 1;
    assert!(matches!(reader.next().await, Err(Error::Unavailable { .. })));
}
