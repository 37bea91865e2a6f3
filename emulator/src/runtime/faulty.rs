//! A runtime with injected faults, for tests: any call can fail, hang, be slow, or act and then fail; events can be lost,
//! doubled and late. It decorates another runtime, which does the work.
//!
//! The fault is a function of the call and its subject, so that a test can fail one call of one container, and a seeded
//! generator can fail a share of all.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use parking_lot::RwLock;
use tokio::sync::watch;

use super::logs::Cursor;
use super::{
    ContainerSpec, Error, Event, Exec, Filter, Frame, Image, Info, Inventory, Network, NetworkSpec, Observed,
    Sandbox, SandboxSpec, Session, TaskSpec, Usage,
};
use crate::clock::Clock;

/// The calls of [`super::Runtime`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Info,
    EnsureNetwork,
    CreateSandbox,
    SetFilter,
    RemoveSandbox,
    SandboxRuns,
    PrepareTask,
    ReleaseTask,
    ResolveImage,
    CreateContainer,
    StartContainer,
    LimitCpu,
    StopContainer,
    RemoveContainer,
    InspectContainer,
    Inventory,
    Exec,
    Stats,
    Logs,
    RemoveEverything,
}

/// The fault of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails and does nothing.
    Fail,
    /// It does nothing and does not return until [`Runtime::calm`], and then fails.
    Hang,
    /// It acts after this time.
    Slow(Duration),
    /// It acts, but its response is lost: it fails.
    ActThenFail,
    /// It acts, and does not return until [`Runtime::calm`], and then fails.
    ActThenHang,
}

/// What happens to an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Lost,
    Doubled,
    /// It arrives this much later, after events that happened meanwhile.
    Late(Duration),
}

type CallPlan = dyn Fn(Call, &str) -> Option<Fault> + Send + Sync;
type EventPlan = dyn Fn(&Event) -> Option<Fate> + Send + Sync;

/// Cheap to clone; all clones share their faults.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<dyn super::Runtime>,
    clock: Clock,
    plans: Arc<RwLock<Plans>>,
    /// Counts the calls of [`Runtime::calm`].
    calm: Arc<watch::Sender<u64>>,
}

#[derive(Clone, Default)]
struct Plans {
    calls: Option<Arc<CallPlan>>,
    events: Option<Arc<EventPlan>>,
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("faulty::Runtime").field(&self.inner).finish()
    }
}

impl Runtime {
    /// A decorator of `inner`, without faults at first.
    pub fn new(inner: Arc<dyn super::Runtime>, clock: Clock) -> Self {
        Self { inner, clock, plans: Arc::default(), calm: Arc::new(watch::Sender::new(0)) }
    }

    /// From now on calls have the faults that `plan` returns. It gets the call and its subject: the id or name of the
    /// container, the id of the sandbox or task, the image, the network. It may act itself, before the call does.
    pub fn on_call(&self, plan: impl Fn(Call, &str) -> Option<Fault> + Send + Sync + 'static) {
        self.plans.write().calls = Some(Arc::new(plan));
    }

    /// From now on events get the fate that `plan` returns.
    pub fn on_event(&self, plan: impl Fn(&Event) -> Option<Fate> + Send + Sync + 'static) {
        self.plans.write().events = Some(Arc::new(plan));
    }

    /// No more faults; calls that hang fail now.
    pub fn calm(&self) {
        *self.plans.write() = Plans::default();
        self.calm.send_modify(|times| *times += 1);
    }

    fn fault(&self, call: Call, subject: &str) -> Option<Fault> {
        let plan = self.plans.read().calls.clone();
        plan.and_then(|plan| plan(call, subject))
    }

    async fn call<T: Send>(
        &self,
        call: Call,
        subject: &str,
        act: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        // Subscribed before the plan is called, so that a calm right after it ends the wait.
        let mut calm = self.calm.subscribe();
        calm.borrow_and_update();
        match self.fault(call, subject) {
            None => act.await,
            Some(Fault::Fail) => Err(failed(call, subject, "a fault was injected")),
            Some(Fault::Hang) => Err(hung(call, subject, &mut calm).await),
            Some(Fault::Slow(delay)) => {
                self.clock.sleep(delay).await;
                act.await
            }
            Some(Fault::ActThenFail) => {
                act.await?;
                Err(failed(call, subject, "a fault was injected after it was done"))
            }
            Some(Fault::ActThenHang) => {
                act.await?;
                Err(hung(call, subject, &mut calm).await)
            }
        }
    }
}

fn failed(call: Call, subject: &str, reason: &str) -> Error {
    Error::Failed { attempted: format!("{call:?} of {subject}"), reason: reason.to_owned() }
}

async fn hung(call: Call, subject: &str, calm: &mut watch::Receiver<u64>) -> Error {
    // The sender is part of the runtime. Without it the wait ends, as a connection to an engine that has ended.
    let _ = calm.changed().await;
    failed(call, subject, "the engine did not respond")
}

#[async_trait]
impl super::Runtime for Runtime {
    async fn info(&self) -> Result<Info, Error> {
        self.call(Call::Info, "", self.inner.info()).await
    }

    async fn ensure_network(&self, spec: &NetworkSpec) -> Result<Network, Error> {
        let subject = match spec {
            NetworkSpec::Own { vpc_id, .. } => vpc_id,
            NetworkSpec::Borrowed { name } => name,
        };
        self.call(Call::EnsureNetwork, subject, self.inner.ensure_network(spec)).await
    }

    async fn create_sandbox(&self, spec: &SandboxSpec) -> Result<Sandbox, Error> {
        self.call(Call::CreateSandbox, &spec.sandbox_id, self.inner.create_sandbox(spec)).await
    }

    async fn set_filter(&self, sandbox_id: &str, filter: &Arc<Filter>) -> Result<(), Error> {
        self.call(Call::SetFilter, sandbox_id, self.inner.set_filter(sandbox_id, filter)).await
    }

    fn calls(&self) -> BoxStream<'static, super::Call> {
        self.inner.calls()
    }

    async fn remove_sandbox(&self, sandbox_id: &str) -> Result<(), Error> {
        self.call(Call::RemoveSandbox, sandbox_id, self.inner.remove_sandbox(sandbox_id)).await
    }

    async fn sandbox_runs(&self, sandbox_id: &str) -> Result<bool, Error> {
        self.call(Call::SandboxRuns, sandbox_id, self.inner.sandbox_runs(sandbox_id)).await
    }

    async fn prepare_task(&self, task: &TaskSpec) -> Result<(), Error> {
        self.call(Call::PrepareTask, &task.task_id, self.inner.prepare_task(task)).await
    }

    async fn release_task(&self, task_id: &str) -> Result<(), Error> {
        self.call(Call::ReleaseTask, task_id, self.inner.release_task(task_id)).await
    }

    async fn resolve_image(&self, image: &str) -> Result<Image, Error> {
        self.call(Call::ResolveImage, image, self.inner.resolve_image(image)).await
    }

    async fn create_container(&self, spec: &ContainerSpec) -> Result<String, Error> {
        self.call(Call::CreateContainer, &spec.name, self.inner.create_container(spec)).await
    }

    async fn start_container(&self, container_id: &str) -> Result<(), Error> {
        self.call(Call::StartContainer, container_id, self.inner.start_container(container_id)).await
    }

    async fn limit_cpu(&self, task_id: &str, cpu: u32) -> Result<(), Error> {
        self.call(Call::LimitCpu, task_id, self.inner.limit_cpu(task_id, cpu)).await
    }

    async fn stop_container(&self, container_id: &str, timeout: Duration) -> Result<(), Error> {
        self.call(Call::StopContainer, container_id, self.inner.stop_container(container_id, timeout)).await
    }

    async fn remove_container(&self, container_id: &str) -> Result<(), Error> {
        self.call(Call::RemoveContainer, container_id, self.inner.remove_container(container_id)).await
    }

    async fn inspect_container(&self, container_id: &str) -> Result<Option<Observed>, Error> {
        self.call(Call::InspectContainer, container_id, self.inner.inspect_container(container_id)).await
    }

    async fn inventory(&self) -> Result<Inventory, Error> {
        self.call(Call::Inventory, "", self.inner.inventory()).await
    }

    async fn exec(&self, container_id: &str, exec: &Exec) -> Result<Session, Error> {
        self.call(Call::Exec, container_id, self.inner.exec(container_id, exec)).await
    }

    async fn stats(&self, container_id: &str) -> Result<Usage, Error> {
        self.call(Call::Stats, container_id, self.inner.stats(container_id)).await
    }

    fn events(&self) -> BoxStream<'static, Event> {
        let runtime = self.clone();
        // Late events wait beside the stream, so that others overtake them.
        let fates = self.inner.events().map(move |event| {
            let plan = runtime.plans.read().events.clone();
            let clock = runtime.clock.clone();
            match plan.and_then(|plan| plan(&event)) {
                None => stream::iter(vec![event]).boxed(),
                Some(Fate::Lost) => stream::empty().boxed(),
                Some(Fate::Doubled) => stream::iter(vec![event.clone(), event]).boxed(),
                Some(Fate::Late(delay)) => stream::once(async move {
                    clock.sleep(delay).await;
                    event
                })
                .boxed(),
            }
        });
        fates.flatten_unordered(None).boxed()
    }

    /// A log that fails ends with an error: at once, or after its first frame ([`Fault::ActThenFail`]).
    fn logs(&self, container_id: &str, after: &Cursor) -> BoxStream<'static, Result<Frame, Error>> {
        let (runtime, subject) = (self.clone(), container_id.to_owned());
        let begins = self.fault(Call::Logs, container_id);
        let frames = self.inner.logs(container_id, after);
        let error = |subject: &str| Err(failed(Call::Logs, subject, "a fault was injected"));
        match begins {
            None => frames,
            Some(Fault::Fail) => stream::iter([error(&subject)]).boxed(),
            Some(Fault::Slow(delay)) => stream::once(async move { runtime.clock.sleep(delay).await })
                .filter_map(|()| std::future::ready(None))
                .chain(frames)
                .boxed(),
            Some(Fault::ActThenFail) => frames.take(1).chain(stream::iter([error(&subject)])).boxed(),
            Some(fault @ (Fault::Hang | Fault::ActThenHang)) => {
                let shown = frames.take(usize::from(fault == Fault::ActThenHang));
                let mut calm = self.calm.subscribe();
                calm.borrow_and_update();
                shown
                    .chain(stream::once(async move { Err(hung(Call::Logs, &subject, &mut calm).await) }))
                    .boxed()
            }
        }
    }

    async fn remove_everything(&self) -> Result<(), Error> {
        self.call(Call::RemoveEverything, "", self.inner.remove_everything()).await
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Runtime as _, simulated};
    use super::*;

    fn runtime() -> Runtime {
        let clock = Clock::system();
        Runtime::new(Arc::new(simulated::Runtime::new(clock.clone())), clock)
    }

    #[tokio::test]
    async fn a_call_fails_as_planned_and_works_again_after_calm() {
        let runtime = runtime();
        runtime
            .on_call(|call, subject| (call == Call::ResolveImage && subject == "app").then_some(Fault::Fail));
        assert!(runtime.resolve_image("app").await.is_err());
        assert!(runtime.resolve_image("other").await.is_ok());
        runtime.calm();
        assert!(runtime.resolve_image("app").await.is_ok());
    }

    #[tokio::test]
    async fn a_call_that_hangs_fails_at_calm_whether_it_acted_or_not() {
        for (fault, acted) in [(Fault::Hang, false), (Fault::ActThenHang, true)] {
            let runtime = runtime();
            runtime.on_call(move |call, _| (call == Call::PrepareTask).then_some(fault));
            let task = TaskSpec {
                task_id: "a".into(),
                cpu: 256,
                memory: 512,
                volumes: Vec::new(),
                containers: Vec::new(),
            };
            let mut call = runtime.prepare_task(&task);
            assert!(futures::poll!(&mut call).is_pending());
            runtime.calm();
            assert!(call.await.is_err());
            let tasks = runtime.inventory().await.expect("an inventory").tasks;
            assert_eq!(!tasks.is_empty(), acted);
        }
    }

    #[tokio::test]
    async fn events_are_lost_doubled_and_late() {
        let inner = simulated::Runtime::new(Clock::system());
        let runtime = Runtime::new(Arc::new(inner.clone()), Clock::system());
        let mut events = runtime.events();
        let sandbox = SandboxSpec {
            sandbox_id: "sandbox".into(),
            network: "vpc".into(),
            address: Some(std::net::Ipv4Addr::new(10, 0, 0, 4)),
            hostname: None,
            resolver: crate::runtime::Resolver::default(),
            routes: Vec::new(),
            filter: Arc::default(),
        };
        runtime.create_sandbox(&sandbox).await.expect("a sandbox");
        let mut ids = Vec::new();
        for name in ["lost", "doubled", "late"] {
            let spec = ContainerSpec {
                name: name.into(),
                task_id: name.into(),
                sandbox_id: "sandbox".into(),
                ..ContainerSpec::default()
            };
            ids.push(runtime.create_container(&spec).await.expect("created"));
        }
        let (lost, late) = (ids[0].clone(), ids[2].clone());
        runtime.on_event(move |event| match event {
            Event::Started { container_id, .. } if *container_id == lost => Some(Fate::Lost),
            Event::Started { container_id, .. } if *container_id == late => {
                Some(Fate::Late(Duration::from_millis(30)))
            }
            _ => Some(Fate::Doubled),
        });
        for id in [&ids[0], &ids[2], &ids[1]] {
            runtime.start_container(id).await.expect("started");
        }
        let mut seen = Vec::new();
        while seen.len() < 3 {
            if let Some(Event::Started { container_id, .. }) = events.next().await {
                seen.push(container_id);
            }
        }
        assert_eq!(seen, [ids[1].clone(), ids[1].clone(), ids[2].clone()]);
    }
}
