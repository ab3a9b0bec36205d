//! The tools of these tests, tested: a link that does not cut would prove nothing.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::generator::Generator;
use crate::support::proxy::Proxy;
use crate::support::waiting::{look_until, wait_until};

/// A listener that sends back what it hears.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address").to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut sink = stream.try_clone().expect("both directions");
                std::io::copy(&mut stream, &mut sink)
            });
        }
    });
    address
}

/// Whether a byte sent comes back.
fn answers(stream: &mut TcpStream) -> bool {
    let mut byte = [0; 1];
    stream.write_all(b"x").is_ok() && stream.read_exact(&mut byte).is_ok() && byte == *b"x"
}

#[test]
fn a_link_carries_is_cut_and_heals() {
    let proxy = Proxy::to(&echo());
    let dial = || TcpStream::connect(proxy.address()).expect("the proxy listens");
    let mut stream = dial();
    assert!(answers(&mut stream));
    proxy.cut();
    wait_until("the old connection is dead", || !answers(&mut stream));
    assert!(!answers(&mut dial()), "nobody gets through a cut link");
    proxy.heal();
    assert!(answers(&mut dial()));
    assert!(!answers(&mut stream), "what was cut stays cut");
}

#[test]
fn waiting_ends_with_the_condition_or_with_the_deadline() {
    let mut looks = 0;
    let found = look_until(Instant::now() + Duration::from_secs(30), || {
        looks += 1;
        (looks == 3).then_some(looks)
    });
    assert_eq!(found, Some(3));
    assert_eq!(look_until(Instant::now(), || None::<u8>), None);
}

#[test]
fn the_generator_is_the_published_one() {
    // The reference implementation's first outputs for this state (Vigna, splitmix64.c).
    let mut generator = Generator::new(1_234_567);
    let outputs = [generator.next(), generator.next(), generator.next()];
    let expected = [
        6_457_827_717_110_365_317,
        3_203_168_211_198_807_973,
        9_817_491_932_198_370_423,
    ];
    assert_eq!(outputs, expected);
    let choices: Vec<usize> = (0..1000).map(|_| generator.between(3, 5)).collect();
    assert!(choices.iter().all(|choice| (3..=5).contains(choice)));
    assert!((3..=5).all(|choice| choices.contains(&choice)));
}
