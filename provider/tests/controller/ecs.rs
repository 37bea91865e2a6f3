//! ECS in memory: client tokens, versions, tags and MISSING as the real one has them; what its tasks do is scripted by the test.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use async_trait::async_trait;
use aws_sdk_ecs::types::{Attachment, Container, DesiredStatus, KeyValuePair, Tag, Task, TaskStopCode};
use aws_smithy_types::DateTime;
use neargate_provider::{
    clock::Clock,
    fargate::ecs::{Described, Ecs, Error},
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
    tokens: HashMap<String, (Run, String)>,
    calls: Vec<String>,
    down: bool,
    refusal: Option<Error>,
    lose_reply: bool,
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
        DateTime::from_nanos(self.clock.now().as_nanosecond()).expect("a time in 2026")
    }

    /// From now on nothing answers.
    pub(crate) fn go_down(&self) {
        self.state.lock().down = true;
    }

    /// It answers again.
    pub(crate) fn come_back(&self) {
        self.state.lock().down = false;
    }

    /// RunTask is refused with this error until it is taken back.
    pub(crate) fn refuse(&self, error: Option<Error>) {
        self.state.lock().refusal = error;
    }

    /// The next RunTask makes its task, and its reply is lost.
    pub(crate) fn lose_next_reply(&self) {
        self.state.lock().lose_reply = true;
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

    /// All tasks, in the order in which they were made.
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

    fn change(&self, arn: &str, change: impl FnOnce(&mut Task)) {
        let mut state = self.state.lock();
        let task = state.tasks.get_mut(arn).expect("a task of this fake");
        change(task);
        task.version += 1;
    }

    /// The task reaches RUNNING.
    pub(crate) fn start(&self, arn: &str) {
        self.change(arn, |task| {
            task.last_status = Some("RUNNING".to_owned());
            task.started_at = Some(self.now());
            for container in task.containers.iter_mut().flatten() {
                container.last_status = Some("RUNNING".to_owned());
                container.runtime_id = Some("0123-4567".to_owned());
            }
        });
    }

    /// The task's containers exit with `code`, and it reaches STOPPED.
    pub(crate) fn exit(&self, arn: &str, code: i32) {
        self.change(arn, |task| {
            task.last_status = Some("STOPPED".to_owned());
            task.desired_status = Some("STOPPED".to_owned());
            task.stop_code.get_or_insert(TaskStopCode::EssentialContainerExited);
            task.stopped_reason.get_or_insert_with(|| "Essential container in task exited".to_owned());
            task.execution_stopped_at = Some(self.now());
            task.stopped_at = Some(self.now());
            for container in task.containers.iter_mut().flatten() {
                container.last_status = Some("STOPPED".to_owned());
                container.exit_code = Some(code);
            }
        });
    }

    /// The task ends before its containers ran.
    pub(crate) fn fail_to_start(&self, arn: &str, reason: &str) {
        self.change(arn, |task| {
            task.last_status = Some("STOPPED".to_owned());
            task.desired_status = Some("STOPPED".to_owned());
            task.stop_code = Some(TaskStopCode::TaskFailedToStart);
            task.stopped_reason = Some(reason.to_owned());
            task.stopped_at = Some(self.now());
        });
    }

    /// The container that goes before the pod's own exits with 1, so that those never are.
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

    /// ECS remembers a task again.
    pub(crate) fn restore(&self, task: Task) {
        let arn = task.task_arn().expect("made with one").to_owned();
        self.state.lock().tasks.insert(arn, task);
    }

    /// A task that somebody else has run.
    pub(crate) fn somebody_elses(&self, started_by: Option<&str>) -> String {
        let mut state = self.state.lock();
        let mut task = task(self.now(), state.started, "somebody", Vec::new(), &["app".to_owned()]);
        state.started += 1;
        task.started_by = started_by.map(str::to_owned);
        task.last_status = Some("RUNNING".to_owned());
        let arn = task.task_arn().expect("made with one").to_owned();
        state.tasks.insert(arn.clone(), task);
        arn
    }

    fn called(&self, call: String) -> Result<(), Error> {
        let mut state = self.state.lock();
        state.calls.push(call);
        if state.down {
            return Err(Error::Trouble { operation: "any", message: "connection refused".to_owned() });
        }
        Ok(())
    }
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
        self.called(format!("RunTask {}", run.client_token))?;
        let mut state = self.state.lock();
        if let Some(refusal) = &state.refusal {
            return Err(refusal.clone());
        }
        if let Some((before, arn)) = state.tokens.get(&run.client_token) {
            if before != run {
                return Err(Error::Conflict { resource_ids: vec![arn.clone()] });
            }
            return Ok(state.tasks[arn].clone());
        }
        let family = definition_arn.split(':').next().expect("a family");
        let containers: Vec<String> = state.definitions[family]
            .container_definitions
            .iter()
            .map(|container| container.name.clone())
            .collect();
        let tags =
            run.tags.iter().map(|tag| Tag::builder().key(&tag.key).value(&tag.value).build()).collect();
        let task = task(self.now(), state.started, &run.started_by, tags, &containers);
        state.started += 1;
        let arn = task.task_arn().expect("made with one").to_owned();
        state.tasks.insert(arn.clone(), task.clone());
        state.tokens.insert(run.client_token.clone(), (run.clone(), arn));
        if std::mem::take(&mut state.lose_reply) {
            return Err(Error::Trouble { operation: "RunTask", message: "the reply was lost".to_owned() });
        }
        let mut reply = task;
        // As AWS: the reply carries neither tags nor an address.
        reply.tags = None;
        reply.attachments = None;
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
        let state = self.state.lock();
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
