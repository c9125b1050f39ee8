//! A session after `welcome`: questions out, answers in.

use std::{collections::HashMap, ops::ControlFlow, sync::Arc};

use contracts::{
    Timestamp,
    agent::{AgentFrame, Cancel, Heartbeat, RefusalCode, Response, ServerFrame},
};
use futures_util::StreamExt;
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};
use uuid::Uuid;

use super::{
    About, Answer, COMMANDS, Command, Inbox,
    answer::Assembly,
    end::End,
    frame::{self, Frame},
    improper,
    socket::Socket,
    task::Sessions,
};
use crate::store::Vitals;

pub(super) struct Session<'a> {
    sessions: &'a Sessions,
    socket: &'a mut Socket,
    inbox: Inbox,
    about: Arc<About>,
    waiting: HashMap<Uuid, Waiting>,
    leaving: Option<Leaving>,
}

/// A question that the agent has not answered yet.
struct Waiting {
    reply: oneshot::Sender<Answer>,
    parts: Assembly,
}

/// One side goes away: nobody finds the session any more, and it ends with the last answer, or then.
struct Leaving {
    why: End,
    by: Instant,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        sessions: &'a Sessions,
        socket: &'a mut Socket,
        inbox: Inbox,
        about: Arc<About>,
    ) -> Self {
        Self { sessions, socket, inbox, about, waiting: HashMap::new(), leaving: None }
    }

    /// Serves until the session ends. Those who still wait for an answer then are told by the drop of `self`.
    pub(super) async fn serve(mut self) -> End {
        let silence = self.sessions.settings.silence();
        let mut silent_at = Instant::now() + silence;
        loop {
            if let Some(leaving) = self.leaving.take_if(|_| self.waiting.is_empty()) {
                return leaving.why;
            }
            let ends_at = self.leaving.as_ref().map_or(silent_at, |leaving| leaving.by.min(silent_at));
            let step = tokio::select! {
                received = self.socket.next() => {
                    silent_at = Instant::now() + silence;
                    frame::read(received).map_or_else(ControlFlow::Break, |frame| self.take(frame))
                }
                Some(refused) = self.inbox.closing.recv() => ControlFlow::Break(End::Refuse(refused)),
                Some(command) = self.inbox.commands.recv() => self.obey(command).await,
                () = sleep_until(ends_at) => ControlFlow::Break(self.why_silent()),
                () = self.sessions.shutdown.cancelled(), if self.leaving.is_none() => {
                    let announced = self.sessions.announce_shutdown(self.socket).await;
                    announced.map_or_else(ControlFlow::Break, |()| {
                        self.leave(End::Shutdown);
                        ControlFlow::Continue(())
                    })
                }
            };
            if let ControlFlow::Break(end) = step {
                return end;
            }
        }
    }

    fn take(&mut self, frame: Frame) -> ControlFlow<End> {
        match frame {
            Frame::Alive => {}
            Frame::Text(AgentFrame::Response(response)) => self.settle(response),
            Frame::Part { request_id, last, data } => self.assemble(request_id, last, &data),
            Frame::Text(AgentFrame::Heartbeat(heartbeat)) => self.note(&heartbeat),
            Frame::Text(AgentFrame::GoingAway(_)) => self.leave(End::Left),
            Frame::Text(AgentFrame::Hello(_)) => {
                return ControlFlow::Break(End::protocol_error("hello was said before"));
            }
        }
        ControlFlow::Continue(())
    }

    /// From now on the agent is not connected to those who ask; what was asked before is still answered.
    fn leave(&mut self, why: End) {
        self.sessions.registry.remove(&self.about.identity.agent_id, self.about.id);
        let by = Instant::now() + self.sessions.settings.timing.drain_within;
        self.leaving.get_or_insert(Leaving { why, by });
    }

    fn why_silent(&mut self) -> End {
        let silent = || End::refuse(RefusalCode::Timeout, "no heartbeat within its time", true);
        self.leaving.take().map_or_else(silent, |leaving| leaving.why)
    }

    /// Hands an answer to who waits for it. One that nobody asked for, or waits for any longer, is only counted.
    fn settle(&mut self, response: Response) {
        let Some(waiting) = self.waiting.remove(&response.request_id) else {
            metrics::counter!("agent_unasked_answers_total").increment(1);
            return;
        };
        let answer = match (response.result, response.error) {
            (Some(result), None) => Ok(result),
            (_, Some(error)) => Err(error),
            (None, None) => Err(improper("the agent answered with neither a result nor an error")),
        };
        // Whoever asked may have gone away just now.
        let _ = waiting.reply.send(answer);
    }

    fn assemble(&mut self, request_id: Uuid, last: bool, data: &[u8]) {
        let Some(waiting) = self.waiting.get_mut(&request_id) else {
            metrics::counter!("agent_unasked_answers_total").increment(1);
            return;
        };
        let pushed = waiting.parts.push(data);
        if !last && pushed.is_ok() {
            return;
        }
        let Some(Waiting { reply, parts }) = self.waiting.remove(&request_id) else {
            return;
        };
        match pushed {
            Err(error) => drop(reply.send(Err(error))),
            Ok(()) => drop(tokio::task::spawn_blocking(move || reply.send(parts.finish()))),
        }
    }

    fn note(&self, heartbeat: &Heartbeat) {
        let vitals = Vitals {
            // By our clock: the agent's may be wrong.
            last_heartbeat: Some(Timestamp::now()),
            nodes: heartbeat.nodes,
            pods: heartbeat.pods,
            ..Vitals::default()
        };
        self.sessions.recorder.learn(&self.about.identity.cluster_id, vitals);
    }

    async fn obey(&mut self, command: Command) -> ControlFlow<End> {
        let settings = &self.sessions.settings;
        let sent = match command {
            Command::Ask { reply, .. } if reply.is_closed() => Ok(()),
            Command::Ask { request_id, frame, reply } => {
                self.forget_abandoned();
                self.waiting.insert(request_id, Waiting { reply, parts: Assembly::default() });
                frame::send_text(self.socket, frame, settings).await
            }
            // Not there: the answer came first.
            Command::Cancel(request_id) => match self.waiting.remove(&request_id) {
                Some(_) => {
                    frame::send(self.socket, &ServerFrame::Cancel(Cancel { request_id }), settings).await
                }
                None => Ok(()),
            },
        };
        sent.map_or_else(ControlFlow::Break, ControlFlow::Continue)
    }

    /// A cancellation is lost when the queue of commands is full; then this takes care of it.
    fn forget_abandoned(&mut self) {
        if self.waiting.len() >= COMMANDS {
            self.waiting.retain(|_, waiting| !waiting.reply.is_closed());
        }
    }
}
