//! A suite: tests that share one world, started once and ended before the process ends, with the same closing line
//! as every other `cargo test`.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use futures::FutureExt as _;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;

use crate::need::{self, Need};
use crate::work::Work;

/// The world of a suite.
pub trait Context: Sized + Send + Sync + 'static {
    /// Starts what all tests share.
    fn start(work: Work) -> impl Future<Output = anyhow::Result<Self>>;

    /// What helps to diagnose a failed test: states and the ends of logs.
    fn dump(&self) -> impl Future<Output = String>;

    /// Ends it; fails if anything is left behind.
    fn close(self) -> impl Future<Output = anyhow::Result<()>>;
}

/// One test of a suite with world `C`.
pub struct Test<C> {
    name: &'static str,
    run: Run<C>,
}

type Run<C> = fn(Arc<C>) -> Pin<Box<dyn Future<Output = anyhow::Result<()>>>>;

impl<C> std::fmt::Debug for Test<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Test").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<C> Test<C> {
    /// A test; use [`tests!`](crate::tests).
    #[must_use]
    pub const fn new(name: &'static str, run: Run<C>) -> Self {
        Self { name, run }
    }
}

/// A list of tests, each an `async fn(&Context) -> anyhow::Result<()>`, named by its path.
#[macro_export]
macro_rules! tests {
    ($($($path:ident)::+),+ $(,)?) => {
        vec![$($crate::suite::Test::new(
            concat!($("::", stringify!($path)),+),
            |context| Box::pin(async move { $($path)::+(&context).await }),
        )),+]
    };
}

/// Runs the tests as `cargo test` does, `threads` at a time by default.
#[must_use]
pub fn run<C: Context>(name: &str, needs: &[Need], threads: usize, tests: Vec<Test<C>>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(threads);
    if arguments.list {
        let trials = tests.into_iter().map(|test| Trial::test(title(test.name), || Ok(()))).collect();
        return libtest_mimic::run(&arguments, trials).exit_code();
    }

    if let Some(reason) = needs.iter().find_map(|need| need.unwanted()) {
        eprintln!("{name}: skipped: {reason}");
        let trials =
            tests.into_iter().map(|test| Trial::test(title(test.name), || Ok(())).with_ignored_flag(true));
        return libtest_mimic::run(&arguments, trials.collect()).exit_code();
    }
    let missing = needs.iter().find_map(|need| need.check().err());
    if let Some(error) = missing {
        let reason = crate::chain(&error);
        eprintln!("{name}: {}: {reason}", if need::in_ci() { "cannot run" } else { "skipped" });
        let trials = tests.into_iter().map(|test| {
            let reason = reason.clone();
            Trial::test(title(test.name), move || Err(Failed::from(reason))).with_ignored_flag(!need::in_ci())
        });
        return libtest_mimic::run(&arguments, trials.collect()).exit_code();
    }

    let runtime = match Runtime::new() {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => return trouble(name, "starting", &error.into()),
    };
    // The kernel signals the children when this process ends; its folder must be removed explicitly.
    let context = match Work::new(name).and_then(|work| {
        end_on_interrupt(&runtime, &work);
        runtime.block_on(C::start(work))
    }) {
        Ok(context) => Arc::new(context),
        Err(error) => return trouble(name, "starting", &error),
    };
    let trials = tests.into_iter().map(|test| trial(test, &context, &runtime)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    let Some(context) = Arc::into_inner(context) else {
        return trouble(name, "ending", &anyhow::anyhow!("a test is still holding the suite's world"));
    };
    match runtime.block_on(context.close()) {
        Ok(()) => conclusion.exit_code(),
        Err(error) => trouble(name, "ending", &error),
    }
}

fn trial<C: Context>(test: Test<C>, context: &Arc<C>, runtime: &Arc<Runtime>) -> Trial {
    let (context, runtime) = (Arc::clone(context), Arc::clone(runtime));
    Trial::test(title(test.name), move || {
        runtime.block_on(async {
            let outcome = AssertUnwindSafe((test.run)(Arc::clone(&context))).catch_unwind().await;
            let message = match outcome {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => format!("{error:?}"),
                Err(panic) => said(panic.as_ref()),
            };
            Err(Failed::from(format!("{message}\n\n{}", context.dump().await)))
        })
    })
}

fn title(path: &str) -> &str {
    path.trim_start_matches("::")
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message").to_owned()
}

fn trouble(name: &str, doing: &str, error: &anyhow::Error) -> ExitCode {
    eprintln!("{name}: {doing} the suite's world: {error:?}");
    ExitCode::FAILURE
}

fn end_on_interrupt(runtime: &Runtime, work: &Work) {
    let folder = work.path().to_owned();
    runtime.spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            std::fs::remove_dir_all(folder).ok();
            std::process::exit(130);
        }
    });
}
