//! An HTTP server on the thread that starts it, for a program that does little else.
//!
//! actix-web's own server accepts on one thread and answers on others. A Grape that stands alone
//! has so little to do for a request that handing it to the thread of the DHT and back would cost
//! more than answering it, and each thread has a heap of its own. So here everything is a task of
//! the present thread: the one that accepts, and one for each connection, at most
//! [`CONNECTIONS_MAX`]; others wait in the backlog of the system.

use std::net::TcpListener;
use std::time::Duration;

use actix_http::HttpService;
use actix_service::{Service as _, ServiceFactory as _, map_config};
use actix_web::dev::AppConfig;
use actix_web::rt::time::sleep;
use actix_web::web::{self, Data};
use actix_web::{App, FromRequest, Handler, Responder};
use bitfitech_actors::service::{Service, StopMode};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::http::{CONNECTIONS_MAX, KEEP_ALIVE, STOP};

/// Wait after the system refused a connection, usually for lack of file descriptors. A guess.
const REFUSED: Duration = Duration::from_millis(200);

/// Serves on a bound port, as [`crate::http::serve`] does, but on the present thread.
///
/// # Errors
/// Those of the operating system.
pub fn serve<S, H, A>(bound: &TcpListener, shared: S, handle: H) -> Result<Service, String>
where
    S: Send + Sync + 'static,
    H: Handler<A>,
    H::Output: Responder,
    A: FromRequest + 'static,
{
    let failed = |error: std::io::Error| format!("cannot serve HTTP: {error}");
    let listener = bound.try_clone().map_err(failed)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(failed)?;
    let (stop, stopped) = watch::channel(None);
    let app = App::new()
        .app_data(Data::new(shared))
        .default_service(web::to(handle));
    let signal = stopped.clone();
    let service = HttpService::build()
        .keep_alive(KEEP_ALIVE)
        .tcp_nodelay(true)
        .graceful_shutdown_signal(move || wait_for_stop(signal.clone()))
        .finish(map_config(app, |()| AppConfig::default()))
        .tcp();
    let ended = async move {
        let service = service.new_service(()).await;
        let service = service.map_err(|()| "cannot serve HTTP".to_owned())?;
        let mut connections = JoinSet::new();
        let stopped_at = wait_for_stop(stopped.clone());
        tokio::pin!(stopped_at);
        loop {
            tokio::select! {
                () = &mut stopped_at => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => {
                    match accepted {
                        // How a connection ends concerns its client alone.
                        Ok((stream, _)) => drop(connections.spawn_local(service.call(stream))),
                        Err(error) => {
                            tracing::warn!(target: "web", "cannot accept a connection: {error}");
                            sleep(REFUSED).await;
                        }
                    }
                }
            }
        }
        if *stopped.borrow() == Some(StopMode::InOrder) {
            let all = async { while connections.join_next().await.is_some() {} };
            // What is not answered by then is cut off.
            drop(tokio::time::timeout(STOP, all).await);
        }
        Ok(())
    };
    Ok(Service {
        ended: Box::pin(ended),
        stop: Box::new(move |mode| {
            stop.send_replace(Some(mode));
        }),
    })
}

/// Waits for the order to stop; who gave no order and is gone wants that too.
async fn wait_for_stop(mut stopped: watch::Receiver<Option<StopMode>>) {
    drop(stopped.wait_for(Option::is_some).await);
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitfitech_io::transport::{PortFallback, bind_tcp};
    use std::net::{Ipv4Addr, SocketAddr};
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::Semaphore;

    /// A request begins by taking from the first, and ends by what is put into the second.
    type Gate = Arc<[Semaphore; 2]>;

    async fn pass(gate: Data<Gate>) -> &'static str {
        gate[0].add_permits(1);
        drop(gate[1].acquire().await);
        "passed"
    }

    /// What a client reads whose request is under way when the server stops, until the end of its
    /// connection.
    async fn answer_at_stop(mode: StopMode) -> String {
        let any = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        let bound = bind_tcp(any, PortFallback::Refuse).expect("bound");
        let gate: Gate = Arc::new([Semaphore::new(0), Semaphore::new(0)]);
        let Service { ended, stop } = serve(&bound, Arc::clone(&gate), pass).expect("served");
        let ended = actix_web::rt::spawn(ended);
        let mut client = TcpStream::connect(bound.local_addr().expect("bound")).await;
        let client = client.as_mut().expect("it listens");
        let request = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n";
        client.write_all(request).await.expect("it reads");
        drop(gate[0].acquire().await);
        stop(mode);
        if mode == StopMode::AtOnce {
            let ended = tokio::time::timeout(STOP / 2, ended).await;
            assert_eq!(ended.expect("at once").expect("no panic"), Ok(()));
        }
        gate[1].add_permits(1);
        let mut answer = String::new();
        // A connection that is cut may be an error.
        let _ = client.read_to_string(&mut answer).await;
        answer
    }

    #[test]
    fn a_stop_in_order_lets_a_request_end_and_another_one_does_not() {
        actix_web::rt::System::new().block_on(async {
            let answer = answer_at_stop(StopMode::InOrder).await;
            assert!(answer.ends_with("passed"), "{answer}");
            assert_eq!(answer_at_stop(StopMode::AtOnce).await, "");
        });
    }
}
