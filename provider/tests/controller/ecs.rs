//! ECS in memory: client tokens, versions, tags and MISSING as in the real one; the test scripts what its tasks do.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_ecs::types::{Attachment, Container, DesiredStatus, KeyValuePair, Tag, Task, TaskStopCode};
use aws_smithy_types::DateTime;
use neargate_provider::{
    clock::Clock,
    fargate::ecs::{Described, Ecs, Error, MOST_IDS},
    translate::{
        ecs::{Definition, Run},
        init,
    },
};
use parking_lot::Mutex;

use super::world::Virtual;

#[derive(Debug, Default)]
struct State {
    definitions: BTreeMap<String, Definition>,
    tasks: BTreeMap<String, Task>,
    tokens: HashMap<String, (Option<Run>, String)>,
    calls: Vec<String>,
    down: bool,
    /// Operations that panic once.
    panics: Vec<&'static str>,
    /// How far ECS's clock is ahead.
    ahead: Duration,
    refusal: Option<Error>,
    denied: Option<String>,
    lose_reply: bool,
    /// How long RunTask's reply takes, once the task is created.
    reply_after: Duration,
    started: u32,
}

/// The fake; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    clock: Virtual,
}

impl Fake {
    /// An ECS without a task, on this clock.
    pub(crate) fn new(clock: Virtual) -> Self {
        Self { state: Arc::default(), clock }
    }

    fn now(&self) -> DateTime {
        let now = self.clock.now() + self.state.lock().ahead;
        DateTime::from_nanos(now.as_nanosecond()).expect("a time in 2026")
    }

    /// From now on no call is answered.
    pub(crate) fn go_down(&self) {
        self.state.lock().down = true;
    }

    /// Calls are answered again.
    pub(crate) fn come_back(&self) {
        self.state.lock().down = false;
    }

    /// The next call of the operation panics in the caller's thread.
    pub(crate) fn panic_once(&self, operation: &'static str) {
        self.state.lock().panics.push(operation);
    }

    /// From now on ECS's clock is ahead of all others.
    pub(crate) fn clock_is_ahead(&self, by: Duration) {
        self.state.lock().ahead = by;
    }

    /// RunTask is refused with this error until `None` is set.
    pub(crate) fn refuse(&self, error: Option<Error>) {
        self.state.lock().refusal = error;
    }

    /// From now on a policy denies this task.
    pub(crate) fn deny(&self, arn: &str) {
        self.state.lock().denied = Some(arn.to_owned());
    }

    /// The next RunTask creates its task, and its reply is lost.
    pub(crate) fn lose_next_reply(&self) {
        self.state.lock().lose_reply = true;
    }

    /// From now on RunTask's reply takes so long, once the task is created.
    pub(crate) fn reply_after(&self, time: Duration) {
        self.state.lock().reply_after = time;
    }

    /// The client token has run this task, with other parameters.
    pub(crate) fn has_run(&self, token: &str, arn: &str) {
        self.state.lock().tokens.insert(token.to_owned(), (None, arn.to_owned()));
    }

    /// Every call so far, in order: operation and what it was about.
    pub(crate) fn calls(&self, operation: &str) -> Vec<String> {
        let state = self.state.lock();
        state
            .calls
            .iter()
            .filter_map(|call| call.strip_prefix(operation)?.strip_prefix(' '))
            .map(str::to_owned)
            .collect()
    }

    /// All tasks, in the order of creation.
    pub(crate) fn tasks(&self) -> Vec<Task> {
        self.state.lock().tasks.values().cloned().collect()
    }

    /// The tasks of a pod.
    pub(crate) fn tasks_of(&self, uid: &str) -> Vec<Task> {
        let has = |task: &Task| task.tags().iter().any(|tag| tag.value() == Some(uid));
        self.tasks().into_iter().filter(has).collect()
    }

    /// How many task definitions are registered.
    pub(crate) fn definitions(&self) -> usize {
        self.state.lock().definitions.len()
    }

    /// The task's containers exit with `code`, and ECS never finishes removing its interface.
    pub(crate) fn deprovision(&self, arn: &str, code: i32) {
        self.exit(arn, code);
        self.change(arn, |task| {
            task.last_status = Some("DEPROVISIONING".to_owned());
            task.stopped_at = None;
        });
    }

    fn change(&self, arn: &str, change: impl FnOnce(&mut Task)) {
        let mut state = self.state.lock();
        let task = state.tasks.get_mut(arn).expect("a task of this fake");
        change(task);
        task.version += 1;
    }

    /// The task reaches RUNNING.
    pub(crate) fn start(&self, arn: &str) {
        let now = self.now();
        self.change(arn, |task| {
            task.last_status = Some("RUNNING".to_owned());
            task.started_at = Some(now);
            for container in task.containers.iter_mut().flatten() {
                container.last_status = Some("RUNNING".to_owned());
                container.runtime_id = Some("0123-4567".to_owned());
            }
        });
    }

    /// The task's containers exit with `code`, and it reaches STOPPED.
    pub(crate) fn exit(&self, arn: &str, code: i32) {
        let now = self.now();
        self.change(arn, |task| {
            task.last_status = Some("STOPPED".to_owned());
            task.desired_status = Some("STOPPED".to_owned());
            task.stop_code.get_or_insert(TaskStopCode::EssentialContainerExited);
            task.stopped_reason.get_or_insert_with(|| "Essential container in task exited".to_owned());
            task.execution_stopped_at = Some(now);
            task.stopped_at = Some(now);
            for container in task.containers.iter_mut().flatten() {
                container.last_status = Some("STOPPED".to_owned());
                container.exit_code = Some(code);
            }
        });
    }

    /// The task ends before its containers ran.
    pub(crate) fn fail_to_start(&self, arn: &str, reason: &str) {
        let now = self.now();
        self.change(arn, |task| {
            task.last_status = Some("STOPPED".to_owned());
            task.desired_status = Some("STOPPED".to_owned());
            task.stop_code = Some(TaskStopCode::TaskFailedToStart);
            task.stopped_reason = Some(reason.to_owned());
            task.stopped_at = Some(now);
        });
    }

    /// The container that goes before the pod's own exits with 1, so that those never run.
    pub(crate) fn fail_first(&self, arn: &str) {
        self.fail_to_start(arn, "Task failed to start");
        self.change(arn, |task| {
            for container in task.containers.iter_mut().flatten() {
                if container.name() == Some(init::NAME) {
                    container.runtime_id = Some("0123-4566".to_owned());
                    container.exit_code = Some(1);
                } else {
                    container.exit_code = Some(143);
                    container.reason =
                        Some("dependency [neargate-init] did not exit successfully".to_owned());
                }
            }
        });
    }

    /// ECS forgets the task.
    pub(crate) fn lose(&self, arn: &str) {
        self.state.lock().tasks.remove(arn).expect("a task of this fake");
    }

    /// ECS knows a task again.
    pub(crate) fn restore(&self, task: Task) {
        let arn = task.task_arn().expect("made with one").to_owned();
        self.state.lock().tasks.insert(arn, task);
    }

    /// A task that another program has run.
    pub(crate) fn somebody_elses(&self, started_by: Option<&str>) -> String {
        let now = self.now();
        let mut state = self.state.lock();
        let mut task = task(now, state.started, "somebody", Vec::new(), &["app".to_owned()]);
        state.started += 1;
        task.started_by = started_by.map(str::to_owned);
        task.last_status = Some("RUNNING".to_owned());
        let arn = task.task_arn().expect("made with one").to_owned();
        state.tasks.insert(arn.clone(), task);
        arn
    }

    fn run(&self, definition_arn: &str, run: &Run) -> Result<Task, Error> {
        self.called(format!("RunTask {}", run.client_token))?;
        let now = self.now();
        let mut state = self.state.lock();
        if let Some(refusal) = &state.refusal {
            return Err(refusal.clone());
        }
        if let Some((before, arn)) = state.tokens.get(&run.client_token) {
            if before.as_ref() != Some(run) {
                return Err(Error::Conflict { resource_ids: vec![arn.clone()] });
            }
            // ECS keeps a token for longer than its task.
            return state.tasks.get(arn).cloned().ok_or(Error::Spent);
        }
        let family = definition_arn.split(':').next().expect("a family");
        let containers: Vec<String> = state.definitions[family]
            .container_definitions
            .iter()
            .map(|container| container.name.clone())
            .collect();
        let tags =
            run.tags.iter().map(|tag| Tag::builder().key(&tag.key).value(&tag.value).build()).collect();
        let task = task(now, state.started, &run.started_by, tags, &containers);
        state.started += 1;
        let arn = task.task_arn().expect("made with one").to_owned();
        state.tasks.insert(arn.clone(), task.clone());
        state.tokens.insert(run.client_token.clone(), (Some(run.clone()), arn));
        if std::mem::take(&mut state.lose_reply) {
            return Err(Error::Trouble { operation: "RunTask", message: "the reply was lost".to_owned() });
        }
        let mut reply = task;
        // As on AWS: the reply has neither tags nor an address.
        reply.tags = None;
        reply.attachments = None;
        Ok(reply)
    }

    fn called(&self, call: String) -> Result<(), Error> {
        let mut state = self.state.lock();
        let panics = state.panics.iter().position(|operation| call.starts_with(operation));
        state.calls.push(call);
        if let Some(at) = panics {
            let operation = state.panics.remove(at);
            drop(state);
            panic!("{operation} panics");
        }
        if state.down {
            return Err(Error::Trouble { operation: "any", message: "connection refused".to_owned() });
        }
        Ok(())
    }
}

/// Whether ECS accepts it as a task of this region, account and cluster.
fn is_id(text: &str) -> bool {
    let id = text.strip_prefix("arn:aws:ecs:us-east-1:000000000000:task/default/").unwrap_or(text);
    id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())
}

fn task(created: DateTime, number: u32, started_by: &str, tags: Vec<Tag>, containers: &[String]) -> Task {
    let arn = format!("arn:aws:ecs:us-east-1:000000000000:task/default/{number:032x}");
    let address = KeyValuePair::builder().name("privateIPv4Address").value(format!("10.0.0.{}", number + 10));
    let interface = Attachment::builder()
        .r#type("ElasticNetworkInterface")
        .details(KeyValuePair::builder().name("subnetId").value("subnet-1").build())
        .details(address.build());
    // Another attachment comes first: the address is to be found by type.
    let storage = Attachment::builder().r#type("AmazonElasticBlockStorage");
    Task::builder()
        .task_arn(&arn)
        .cluster_arn("arn:aws:ecs:us-east-1:000000000000:cluster/default")
        .started_by(started_by)
        .last_status("PROVISIONING")
        .desired_status("RUNNING")
        .cpu("256")
        .memory("512")
        .created_at(created)
        .version(1)
        .set_tags(Some(tags))
        .attachments(storage.build())
        .attachments(interface.build())
        .set_containers(Some(
            containers
                .iter()
                .map(|name| Container::builder().name(name).image("app:1").last_status("PENDING").build())
                .collect(),
        ))
        .build()
}

#[async_trait]
impl Ecs for Fake {
    fn is_in_trouble(&self) -> bool {
        self.state.lock().down
    }

    async fn describe_definition(&self, family: &str) -> Result<Option<String>, Error> {
        self.called(format!("DescribeTaskDefinition {family}"))?;
        Ok(self.state.lock().definitions.contains_key(family).then(|| format!("{family}:1")))
    }

    async fn register_definition(&self, definition: &Definition) -> Result<String, Error> {
        self.called(format!("RegisterTaskDefinition {}", definition.family))?;
        self.state.lock().definitions.insert(definition.family.clone(), definition.clone());
        Ok(format!("{}:1", definition.family))
    }

    async fn run_task(&self, definition_arn: &str, run: &Run) -> Result<Task, Error> {
        let reply = self.run(definition_arn, run)?;
        let reply_after = self.state.lock().reply_after;
        tokio::time::sleep(reply_after).await;
        Ok(reply)
    }

    async fn stop_task(&self, arn: &str, reason: &str) -> Result<Option<Task>, Error> {
        self.called(format!("StopTask {arn}"))?;
        let mut state = self.state.lock();
        let Some(task) = state.tasks.get_mut(arn) else { return Ok(None) };
        task.desired_status = Some("STOPPED".to_owned());
        task.stop_code = Some(TaskStopCode::UserInitiated);
        task.stopped_reason = Some(reason.to_owned());
        task.version += 1;
        Ok(Some(task.clone()))
    }

    async fn describe_tasks(&self, arns: &[String]) -> Result<Described, Error> {
        self.called(format!("DescribeTasks {}", arns.len()))?;
        assert!((1..=MOST_IDS).contains(&arns.len()), "{} ids", arns.len());
        // As in ECS: one invalid id, and the whole request is refused.
        if let Some(arn) = arns.iter().find(|arn| !is_id(arn)) {
            return Err(Error::Refused {
                operation: "DescribeTasks",
                code: "InvalidParameterException".to_owned(),
                message: format!("Invalid identifier: {arn}"),
            });
        }
        let state = self.state.lock();
        if arns.iter().any(|arn| state.denied.as_ref() == Some(arn)) {
            let message = "AccessDeniedException: an explicit deny in an identity-based policy".to_owned();
            return Err(Error::Denied { operation: "DescribeTasks", message });
        }
        let (known, missing): (Vec<_>, Vec<_>) =
            arns.iter().cloned().partition(|arn| state.tasks.contains_key(arn));
        Ok(Described { tasks: known.iter().map(|arn| state.tasks[arn].clone()).collect(), missing })
    }

    async fn list_tasks(&self, started_by: &str, desired: DesiredStatus) -> Result<Vec<String>, Error> {
        self.called(format!("ListTasks {started_by}"))?;
        let state = self.state.lock();
        let matches = |task: &&Task| {
            task.started_by() == Some(started_by) && task.desired_status() == Some(desired.as_str())
        };
        Ok(state
            .tasks
            .values()
            .filter(matches)
            .filter_map(|task| task.task_arn().map(str::to_owned))
            .collect())
    }
}
