//! A failing run is made smaller, and the smaller one fails in the same way.

use bitfitech_sim::canaries;
use bitfitech_sim::config::Config;
use bitfitech_sim::shrink::shrink;

use crate::{run, small};

#[test]
fn a_run_that_fails_is_made_smaller_and_still_fails() {
    let config = Config {
        canary: canaries::find("dropped-operation"),
        ..small("steady", 1)
    };
    let failed = run(config.clone());
    assert!(
        failed.violations[0].starts_with("reach:"),
        "{}",
        failed.text()
    );
    let smallest = shrink(&config, &failed);
    let size = |config: &Config| f64::from(config.nodes) * config.rate * config.duration_us as f64;
    assert!(
        size(&smallest) < size(&config) / 4.0,
        "{}",
        smallest.command()
    );
    let report = run(smallest);
    assert!(
        report.violations[0].starts_with("reach:"),
        "{}",
        report.text()
    );
}
