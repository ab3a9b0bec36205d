//! `sim`: a whole network in one process.
//!
//! The work is done by [`bitfitech_sim`]. Here a scenario gets what the command line says
//! otherwise, the progress goes to the terminal, and the report becomes text or JSON.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::thread;

use bitfitech_core::genesis::ALLOW_LIST_MAX;
use bitfitech_sim::config::{Config, Workload};
use bitfitech_sim::report::Report;
use bitfitech_sim::{Progress, adversaries, canaries, scenario, shrink};
use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::{Options, Output, SimCommand, SimSettings};
use crate::exit::Failure;
use crate::huge_pages;

/// From so many nodes on a simulation is better off with huge pages. With 300 the difference is
/// small (`docs/PERFORMANCE.md`).
const LARGE_NODES: u32 = 500;

/// Runs a simulation, or lists names.
///
/// # Errors
/// An unknown name is wrong usage. A network that did not converge, or in which something was
/// wrong, is a failure whose report is printed all the same.
pub fn run(options: &Options, command: SimCommand) -> Result<String, Failure> {
    match command {
        SimCommand::ListScenarios => Ok(lines(&scenario::NAMES)),
        SimCommand::ListAdversaries => Ok(lines(&adversaries::NAMES)),
        SimCommand::ListCanaries => Ok(lines(&canaries::NAMES)),
        SimCommand::ListWorkloads => Ok(lines(&Workload::NAMES)),
        SimCommand::Run(settings) => simulate(options.output(), &settings),
    }
}

fn lines(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name}\n")).collect()
}

fn simulate(output: Output, settings: &SimSettings) -> Result<String, Failure> {
    let config = configure(settings)?;
    if config.nodes >= LARGE_NODES {
        huge_pages::start_anew();
    }
    let bar = bar();
    let mut progress = |progress| show(&bar, progress);
    let report = match &settings.trace {
        None => bitfitech_sim::run(config.clone(), &mut progress),
        Some(path) => run_traced(config.clone(), &mut progress, path)?,
    };
    if !report.is_good() {
        bar.set_message("looking for a smaller run that fails");
    }
    let again = again(&config, &report);
    bar.finish_and_clear();
    let text = match output {
        Output::Text => report.text(),
        Output::Json => format!("{}\n", report.json()),
    };
    if report.is_good() {
        return Ok(text);
    }
    Err(Failure::Found {
        report: text,
        lines: again,
    })
}

/// How to run a failed simulation again, and a smaller one that fails in the same way.
fn again(config: &Config, report: &Report) -> String {
    if report.is_good() {
        return String::new();
    }
    let mut lines = format!("the simulation found faults; again: {}", report.command());
    let smaller = shrink::shrink(config, report).command();
    if smaller != report.command() {
        lines += &format!("\nsmaller, with the same fault: {smaller}");
    }
    lines
}

/// Runs a simulation and writes what happens to a file.
fn run_traced(
    config: Config,
    progress: &mut dyn FnMut(Progress),
    path: &Path,
) -> Result<Report, Failure> {
    let fault = |error: io::Error| {
        let path = path.display();
        Failure::RunTime(format!("--trace: {path} cannot be written: {error}"))
    };
    let mut file = BufWriter::new(File::create(path).map_err(fault)?);
    let mut written = Ok(());
    let report = bitfitech_sim::run_traced(config, progress, &mut |line| {
        if written.is_ok() {
            written = writeln!(file, "{}", line.json());
        }
    });
    written.and_then(|()| file.flush()).map_err(fault)?;
    Ok(report)
}

/// The scenario's settings, and what the command line says otherwise.
fn configure(settings: &SimSettings) -> Result<Config, Failure> {
    let mut config = scenario::find(&settings.scenario)
        .ok_or_else(|| unknown("scenario", &settings.scenario, &scenario::NAMES))?;
    let threads = thread::available_parallelism().map_or(1, |count| count.get());
    config.threads = settings.threads.map_or(threads, usize::from);
    let micros = |ms: u64| ms * bitfitech_sim::event::MS;
    config.seed = settings.seed.unwrap_or(config.seed);
    config.nodes = settings.nodes.unwrap_or(config.nodes);
    config.rate = settings.rate.unwrap_or(config.rate);
    config.loss = settings.loss.unwrap_or(config.loss);
    config.degree = settings.links.unwrap_or(config.degree);
    config.markets = settings.markets.unwrap_or(config.markets);
    config.warm_up = settings.warm_up.or(config.warm_up);
    config.duration_us = settings.duration_ms.map_or(config.duration_us, micros);
    let latency = settings.latency_ms;
    config.latency_us =
        latency.map_or(config.latency_us, |(low, high)| (micros(low), micros(high)));
    config.byzantine_percent = settings
        .byzantine_percent
        .unwrap_or(config.byzantine_percent);
    config.expulsions = settings.expulsions.unwrap_or(config.expulsions);
    if config.expulsions > 0 && config.nodes as usize > ALLOW_LIST_MAX {
        return Err(Failure::Usage(format!(
            "--nodes: where members are expelled the genesis names all of them, at most \
             {ALLOW_LIST_MAX}: take fewer nodes, or --expulsions 0"
        )));
    }
    if let Some(name) = &settings.workload {
        let found = Workload::find(name);
        config.workload = found.ok_or_else(|| unknown("workload", name, &Workload::NAMES))?;
    }
    if let Some(name) = &settings.adversary {
        let found = adversaries::find(name);
        config.adversary =
            Some(found.ok_or_else(|| unknown("adversary", name, &adversaries::NAMES))?);
    }
    if let Some(name) = &settings.canary {
        let found = canaries::find(name);
        config.canary = Some(found.ok_or_else(|| unknown("canary", name, &canaries::NAMES))?);
    }
    Ok(config)
}

fn unknown(what: &str, name: &str, names: &[&str]) -> Failure {
    let name: String = name.chars().filter(|c| !c.is_control()).collect();
    Failure::Usage(format!(
        "--{what}: there is no {what} `{name}`: take one of {}",
        names.join(", ")
    ))
}

fn bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}")
        .expect("the template is right");
    ProgressBar::new(1)
        .with_style(style)
        .with_message("simulating")
}

fn show(bar: &ProgressBar, progress: Progress) {
    bar.set_length(progress.healed_us);
    bar.set_position(progress.now_us.min(progress.healed_us));
    if progress.now_us > progress.healed_us {
        bar.set_message("healed, not yet equal");
    }
}
