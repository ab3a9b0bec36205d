//! A switch, machines and cables, as far as the kernel lends them.

use std::process::{Command, Output};

/// A network of machines that are numbered from 1; even ones are at one end of a cable, odd ones
/// at the other.
pub struct Network {
    name: String,
    machines: usize,
}

/// Runs a program; the text of the error if it fails.
fn run(program: &str, line: &str) -> Result<(), String> {
    let words = line.split_whitespace();
    let output = Command::new(program).args(words).output();
    let failed = |output: Output| {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("{program} {line}: {said}")),
        }
    };
    output
        .map_err(|error| format!("{program}: {error}"))
        .and_then(failed)
}

impl Network {
    /// So many machines. Else the reason why there can be none here.
    pub fn new(name: &str, machines: usize) -> Result<Self, String> {
        let network = Self {
            name: format!("bft-{name}-{}", std::process::id()),
            machines,
        };
        network.build()?;
        Ok(network)
    }

    fn build(&self) -> Result<(), String> {
        let switch = self.switch();
        run("ip", &format!("netns add {switch}"))?;
        let ip = |line: String| run("ip", &format!("-n {switch} {line}"));
        for bridge in ["b0", "b1"] {
            ip(format!("link add {bridge} type bridge"))?;
            ip(format!("link set {bridge} up"))?;
        }
        ip("link add cable0 type veth peer name cable1".to_owned())?;
        for end in ["0", "1"] {
            ip(format!("link set cable{end} master b{end} up"))?;
        }
        for number in 1..=self.machines {
            let machine = self.machine(number);
            run("ip", &format!("netns add {machine}"))?;
            ip(format!(
                "link add p{number} type veth peer name eth0 netns {machine}"
            ))?;
            let bridge = number % 2;
            ip(format!("link set p{number} master b{bridge} up"))?;
            let inside = |line: String| run("ip", &format!("-n {machine} {line}"));
            inside("link set lo up".to_owned())?;
            inside(format!("addr add 10.77.0.{number}/24 dev eth0"))?;
            inside("link set eth0 up".to_owned())?;
            inside("route add 224.0.0.0/4 dev eth0".to_owned())?;
        }
        Ok(())
    }

    fn switch(&self) -> String {
        format!("{}-s", self.name)
    }

    /// The namespace of a machine.
    pub fn machine(&self, number: usize) -> String {
        format!("{}-{number}", self.name)
    }

    /// Nothing passes between even and odd machines any more.
    pub fn cut(&self) {
        self.cable("down");
    }

    /// It passes again.
    pub fn heal(&self) {
        self.cable("up");
    }

    fn cable(&self, state: &str) {
        let line = format!("-n {} link set cable0 {state}", self.switch());
        run("ip", &line).expect("the cable is there");
    }

    /// Of what goes from even to odd machines so much is lost. Else the reason why that cannot be:
    /// it takes nftables, which kernels have more often than netem.
    pub fn lose(&self, percent: u8) -> Result<(), String> {
        let switch = self.switch();
        let nft = |line: String| run("ip", &format!("netns exec {switch} nft {line}"));
        nft("add table bridge loss".to_owned())?;
        nft("add chain bridge loss way { type filter hook forward priority 0 ; }".to_owned())?;
        nft(format!(
            "add rule bridge loss way oifname cable0 numgen random mod 100 < {percent} counter drop"
        ))
    }

    /// How many packets were lost by that.
    pub fn lost(&self) -> u64 {
        let switch = self.switch();
        let line = [
            "netns", "exec", &switch, "nft", "list", "table", "bridge", "loss",
        ];
        let output = Command::new("ip").args(line).output();
        let listed = output.expect("nft has worked before").stdout;
        let listed = String::from_utf8_lossy(&listed);
        let mut words = listed.split_whitespace();
        let count = words.find(|word| *word == "packets").and(words.next());
        count.and_then(|count| count.parse().ok()).expect("a count")
    }

    /// Nothing that one machine sends reaches the other, but what comes from there does arrive.
    pub fn deafen(&self, from: usize, to: usize) {
        self.one_way("add", from, to);
    }

    /// It reaches it again.
    pub fn undeafen(&self, from: usize, to: usize) {
        self.one_way("del", from, to);
    }

    fn one_way(&self, what: &str, from: usize, to: usize) {
        let machine = self.machine(from);
        let line = format!("-n {machine} route {what} blackhole 10.77.0.{to}/32");
        run("ip", &line).expect("the machine is there");
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let machines = (1..=self.machines).map(|number| self.machine(number));
        for namespace in machines.chain([self.switch()]) {
            // What was never made cannot be removed.
            drop(run("ip", &format!("netns del {namespace}")));
        }
    }
}
