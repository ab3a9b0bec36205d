//! Each lane at its bound, and through the death of the actor.

use std::time::Duration;

use actix::fut::wrap_future;
use actix::{Actor, ActorContext, Context, ContextFutureSpawner, Handler, Message};
use tokio::sync::oneshot;

use super::{ActorRef, Data, DataError, Permit, QueryError};

/// Keeps the permits of what it handled until told to let go.
#[derive(Default)]
struct Keeper {
    kept: Vec<(u32, Permit)>,
}

impl Actor for Keeper {
    type Context = Context<Self>;
}

impl Handler<Data<u32>> for Keeper {
    type Result = ();

    fn handle(&mut self, data: Data<u32>, _: &mut Context<Self>) {
        self.kept.push((data.message, data.permit));
    }
}

#[derive(Message)]
#[rtype(result = "Vec<u32>")]
struct LetGo;

impl Handler<LetGo> for Keeper {
    type Result = Vec<u32>;

    fn handle(&mut self, _: LetGo, _: &mut Context<Self>) -> Vec<u32> {
        self.kept.drain(..).map(|(number, _)| number).collect()
    }
}

#[derive(Message)]
#[rtype(result = "()")]
struct Stop;

impl Handler<Stop> for Keeper {
    type Result = ();

    fn handle(&mut self, _: Stop, context: &mut Context<Self>) {
        context.stop();
    }
}

/// Blocks the actor (not its thread) until the sender is dropped.
#[derive(Message)]
#[rtype(result = "()")]
struct Block(oneshot::Receiver<()>);

impl Handler<Block> for Keeper {
    type Result = ();

    fn handle(&mut self, block: Block, context: &mut Context<Self>) {
        wrap_future::<_, Self>(async { drop(block.0.await) }).wait(context);
    }
}

#[actix::test]
async fn a_reference_without_a_life_says_down_on_every_lane() {
    let keeper = ActorRef::<Keeper>::new("keeper", 2);
    assert!(!keeper.is_up());
    assert!(keeper.control(Stop).is_err());
    assert!(matches!(keeper.try_data(1), Err(DataError::Down(down)) if down.message == 1));
    assert_eq!(keeper.data(2).await.unwrap_err().message, 2);
    assert_eq!(
        keeper.query(LetGo, 1_000).await,
        Err(QueryError::Down {
            actor: "keeper".into()
        })
    );
}

#[actix::test]
async fn the_data_lane_is_bounded_by_permits_and_not_by_handled_messages() {
    let keeper = ActorRef::new("keeper", 2);
    let life = keeper.run_unsupervised(Keeper::default());
    keeper.try_data(1).unwrap();
    keeper.try_data(2).unwrap();
    let error = keeper.clone().try_data(3).unwrap_err();
    assert!(error.is_full());
    assert_eq!(
        error.to_string(),
        "the mailbox of actor keeper is full: send less or wait for room"
    );
    assert_eq!(error.into_message(), 3);
    assert_eq!(keeper.depth(), 2);
    let waiting = actix_rt::spawn({
        let keeper = keeper.clone();
        async move { keeper.data(4).await }
    });
    assert_eq!(keeper.query(LetGo, 10_000).await, Ok(vec![1, 2]));
    waiting.await.unwrap().unwrap();
    assert_eq!(keeper.query(LetGo, 10_000).await, Ok(vec![4]));
    assert_eq!(keeper.depth(), 0);
    life.abort();
}

#[actix::test]
async fn control_gets_through_a_full_data_lane_and_waiters_are_told_down() {
    let keeper = ActorRef::new("keeper", 1);
    let life = keeper.run_unsupervised(Keeper::default());
    keeper.try_data(1).unwrap();
    let waiting = actix_rt::spawn({
        let keeper = keeper.clone();
        async move { keeper.data(2).await }
    });
    keeper.control(Stop).unwrap();
    life.await.unwrap();
    assert!(
        !keeper.is_up(),
        "a stopped actor is down even before its reference is closed"
    );
    keeper.close(0);
    let down = waiting.await.unwrap().unwrap_err();
    assert_eq!(down.message, 2);
    assert_eq!(
        down.to_string(),
        "actor keeper is down: try again when it has been restarted"
    );
}

#[actix::test]
async fn a_query_ends_by_its_time_limit_or_with_the_actor() {
    let keeper = ActorRef::new("keeper", 1);
    let life = keeper.run_unsupervised(Keeper::default());
    let (hold, block) = oneshot::channel();
    keeper.control(Block(block)).unwrap();
    let timeout = keeper.query(LetGo, 20).await.unwrap_err();
    assert_eq!(
        timeout.to_string(),
        "actor keeper did not answer within 20 ms: try again later"
    );
    let asking = actix_rt::spawn({
        let keeper = keeper.clone();
        async move { keeper.query(LetGo, 60_000).await }
    });
    let asked = async {
        while keeper.depth() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), asked)
        .await
        .unwrap();
    life.abort();
    assert_eq!(
        asking.await.unwrap(),
        Err(QueryError::Lost {
            actor: "keeper".into()
        })
    );
    drop(hold);
}

#[actix::test]
async fn a_new_life_has_all_its_permits_and_a_late_close_does_not_touch_it() {
    let keeper = ActorRef::<Keeper>::new("keeper", 1);
    let _unread = keeper.open(1);
    keeper.try_data(1).unwrap();
    assert!(keeper.try_data(2).is_err());
    let _present = keeper.open(2);
    keeper.try_data(3).unwrap();
    keeper.close(1);
    assert!(keeper.is_up());
    keeper.close(2);
    assert!(!keeper.is_up());
}
