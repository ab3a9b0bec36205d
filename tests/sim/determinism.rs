//! The same seed gives the same report, whatever the number of threads.

use bitfitech_sim::config::Config;

use crate::{run, small};

/// The report but for wall time and memory.
fn figures(config: Config) -> String {
    let mut json = run(config).json();
    let fields = json.as_object_mut().expect("an object");
    assert!(fields.remove("wall_s").is_some() && fields.remove("peak_rss_mb").is_some());
    json.to_string()
}

#[test]
fn threads_change_nothing_and_seeds_change_something() {
    for name in ["hot", "partition", "churn", "liars"] {
        let with = |threads, seed| {
            figures(Config {
                threads,
                ..small(name, seed)
            })
        };
        let one = with(1, 3);
        assert_eq!(one, with(2, 3), "{name}");
        assert_eq!(one, with(5, 3), "{name}");
        assert_ne!(one, with(1, 4), "{name}");
    }
}
