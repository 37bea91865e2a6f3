//! The output: steps with the seconds that each took, and what commands printed.

use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Screen {
    began: Instant,
    steps: Vec<(String, Duration)>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        println!("Neargate: a Kubernetes Deployment as AWS Fargate tasks in local Docker containers\n");
        Self { began: Instant::now(), steps: Vec::new() }
    }

    /// Runs a step, and prints what it does, then how long it took.
    pub(crate) async fn step<T>(
        &mut self,
        what: &str,
        step: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        println!("[{:5.1} s] {what} …", self.began.elapsed().as_secs_f32());
        let began = Instant::now();
        let value = step.await?;
        let took = began.elapsed();
        println!("          done in {:.2} s", took.as_secs_f32());
        self.steps.push((what.to_owned(), took));
        Ok(value)
    }

    pub(crate) fn say(&self, text: &str) {
        println!("\n{text}\n");
    }

    /// What a command printed, under the command.
    pub(crate) fn show(&self, command: &str, output: &str) {
        println!("\n          $ {command}");
        for line in output.lines() {
            println!("          {line}");
        }
        println!();
    }

    /// The steps again, with their seconds.
    pub(crate) fn summary(&self) {
        println!("\nDurations:");
        for (what, took) in &self.steps {
            println!("  {:7.2} s  {what}", took.as_secs_f32());
        }
        println!("  {:7.2} s  in all", self.began.elapsed().as_secs_f32());
    }
}
