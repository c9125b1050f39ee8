//! A session after `welcome`: questions out, answers in.

use std::{collections::HashMap, ops::ControlFlow};

use bytes::Bytes;
use contracts::agent::{AgentFrame, Cancel, GoingAway, Heartbeat, More, RefusalCode, Response, ServerFrame};
use futures_util::StreamExt;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::{
    SessionTiming, Shared,
    end::End,
    frame::{self, Frame},
    improper,
    mailbox::{Mail, Note},
    posed::{Asked, Pushed},
    socket::Socket,
    task::{Sessions, presentable},
    unbidden::Unbidden,
};
use crate::store::Vitals;

pub(super) struct Session<'a> {
    sessions: &'a Sessions,
    socket: &'a mut Socket,
    shared: &'a Shared,
    /// The questions that the agent has not answered yet.
    waiting: HashMap<Uuid, Asked>,
    unbidden: Unbidden,
    /// This process stops; until then the agent may go over to another replica in peace.
    stays_until: Option<Instant>,
    leaving: Option<Leaving>,
}

/// One side goes away: nobody finds the session any more, and it ends with the last answer, or then.
struct Leaving {
    why: End,
    by: Instant,
}

impl<'a> Session<'a> {
    pub(super) fn new(sessions: &'a Sessions, socket: &'a mut Socket, shared: &'a Shared) -> Self {
        let unbidden = Unbidden::new(sessions.bounds.max_questions);
        Self { sessions, socket, shared, waiting: HashMap::new(), unbidden, stays_until: None, leaving: None }
    }

    /// Serves until the session ends. Those who still wait for an answer then are told by the drop of `self`.
    pub(super) async fn serve(&mut self) -> End {
        let silence = self.sessions.settings.silence();
        let mut silent_at = Instant::now() + silence;
        let shared = self.shared;
        loop {
            if let Some(leaving) = self.leaving.take_if(|_| self.waiting.is_empty()) {
                return leaving.why;
            }
            let leaves_at = self.leaving.as_ref().map(|leaving| leaving.by).or(self.stays_until);
            let ends_at = leaves_at.map_or(silent_at, |leaves_at| leaves_at.min(silent_at));
            let is_told = self.leaving.is_some() || self.stays_until.is_some();
            let step = tokio::select! {
                received = self.socket.next() => {
                    silent_at = Instant::now() + silence;
                    match frame::read(received) {
                        Ok(frame) => self.take(frame).await,
                        Err(end) => ControlFlow::Break(end),
                    }
                }
                mail = shared.mailbox.next() => self.pass_on(mail).await,
                () = sleep_until(ends_at) => self.time_is_up(ends_at < silent_at),
                () = self.sessions.shutdown.cancelled(), if !is_told => self.go_away().await,
            };
            if let ControlFlow::Break(end) = step {
                return end;
            }
        }
    }

    async fn take(&mut self, frame: Frame) -> ControlFlow<End> {
        match frame {
            Frame::Text(AgentFrame::Response(response)) => return self.settle(response),
            Frame::Part { request_id, last, data } => return self.assemble(request_id, last, data).await,
            Frame::Alive => {}
            Frame::Text(AgentFrame::Heartbeat(heartbeat)) => self.note(&heartbeat),
            Frame::Text(AgentFrame::GoingAway(_)) => self.leave(End::Left),
            Frame::Text(AgentFrame::Hello(_)) => {
                return ControlFlow::Break(End::protocol_error("hello was said before"));
            }
        }
        bidden_or_end(self.unbidden.take())
    }

    /// Tells the agent that this process stops. One that can goes over to another replica first.
    async fn go_away(&mut self) -> ControlFlow<End> {
        let began = Instant::now();
        if let Err(end) = Box::pin(self.sessions.announce_shutdown(self.socket)).await {
            return ControlFlow::Break(end);
        }
        if self.shared.about.instance.is_some() && self.sessions.directory.has_others() {
            let SessionTiming { reconnect_within, drain_within, .. } = self.sessions.settings.timing;
            // Half of the time is for the last answers of those that have not gone by then.
            self.stays_until = Some(began + reconnect_within + drain_within / 2);
        } else {
            self.leave(End::Shutdown);
        }
        ControlFlow::Continue(())
    }

    /// Ends the session of an agent that was silent, or has had its time to go; one that had time to go over to another replica is
    /// given that to answer what was asked before.
    fn time_is_up(&mut self, was_given: bool) -> ControlFlow<End> {
        if was_given && self.leaving.is_none() {
            let by = Instant::now() + self.sessions.settings.timing.drain_within / 2;
            self.leave_by(End::Shutdown, by);
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(self.why_silent())
    }

    /// From now on the agent is not connected to those who ask; what was asked before is still answered.
    fn leave(&mut self, why: End) {
        self.leave_by(why, Instant::now() + self.sessions.settings.timing.drain_within);
    }

    fn leave_by(&mut self, why: End, by: Instant) {
        self.sessions.withdraw(self.shared, &why);
        self.leaving.get_or_insert(Leaving { why, by });
    }

    fn why_silent(&mut self) -> End {
        let silent = || End::refuse(RefusalCode::Timeout, "no heartbeat within its time", true);
        self.leaving.take().map_or_else(silent, |leaving| leaving.why)
    }

    /// Hands an answer to who waits for it. One that nobody asked for, or waits for any longer, is only counted.
    fn settle(&mut self, response: Response) -> ControlFlow<End> {
        let Some(asked) = self.waiting.remove(&response.request_id) else {
            return bidden_or_end(self.unbidden.take_answer());
        };
        asked.answer(match (response.result, response.error) {
            (Some(result), None) => Ok(Bytes::from(Box::<str>::from(result).into_boxed_bytes())),
            (_, Some(error)) => Err(error),
            (None, None) => Err(improper("the agent answered with neither a result nor an error")),
        });
        ControlFlow::Continue(())
    }

    async fn assemble(&mut self, request_id: Uuid, last: bool, data: Bytes) -> ControlFlow<End> {
        let Some(asked) = self.waiting.get(&request_id) else {
            return bidden_or_end(self.unbidden.take_answer());
        };
        match asked.push(data, last) {
            Pushed::Going => {}
            Pushed::Settled => {
                self.waiting.remove(&request_id);
                if !last {
                    return Box::pin(self.cancel(request_id)).await;
                }
            }
            Pushed::Overrun => {
                return ControlFlow::Break(End::protocol_error("more parts were sent than were asked for"));
            }
        }
        ControlFlow::Continue(())
    }

    fn note(&self, heartbeat: &Heartbeat) {
        let vitals = Vitals {
            // The agent's clock may be wrong.
            last_heartbeat: Some(self.sessions.clock.now()),
            nodes: heartbeat.nodes,
            pods: heartbeat.pods,
            detected_provider: heartbeat.provider.as_deref().map(presentable),
            region: heartbeat.region.as_deref().map(presentable),
            cpu_millis: heartbeat.cpu_millis,
            memory_bytes: heartbeat.memory_bytes,
            ..Vitals::default()
        };
        self.sessions.learn(self.shared, vitals);
    }

    /// Tells the agent all that waits to be told, at once.
    async fn pass_on(&mut self, mail: Mail) -> ControlFlow<End> {
        if let Some(refused) = mail.closing {
            return ControlFlow::Break(End::Refuse(refused));
        }
        let mut frames = Vec::with_capacity(mail.asks.len() + mail.notes.len());
        for ask in mail.asks.into_iter().filter(|ask| ask.asked.is_wanted()) {
            self.waiting.insert(ask.request_id, ask.asked);
            frames.push(ask.frame);
        }
        for note in mail.notes {
            match note {
                Note::More(request_id) if self.waiting.contains_key(&request_id) => {
                    frames.extend(written(&ServerFrame::More(More { request_id, parts: 1 })));
                }
                Note::Cancel(request_id) if self.waiting.remove(&request_id).is_some() => {
                    self.unbidden.expect_late_answer();
                    frames.extend(written(&ServerFrame::Cancel(Cancel { request_id })));
                }
                // The answer came first.
                Note::More(_) | Note::Cancel(_) => {}
            }
        }
        if let Some(after) = mail.away {
            frames.extend(written(&ServerFrame::GoingAway(GoingAway::after(after))));
        }
        if mail.gives_way {
            self.leave(End::Moved);
        }
        self.send(frames).await
    }

    async fn cancel(&mut self, request_id: Uuid) -> ControlFlow<End> {
        self.unbidden.expect_late_answer();
        self.send(written(&ServerFrame::Cancel(Cancel { request_id })).into_iter().collect()).await
    }

    async fn send(&mut self, frames: Vec<String>) -> ControlFlow<End> {
        let sent = frame::send_all(self.socket, frames, &self.sessions.settings).await;
        sent.map_or_else(ControlFlow::Break, ControlFlow::Continue)
    }
}

fn bidden_or_end(is_acceptable: bool) -> ControlFlow<End> {
    if is_acceptable {
        return ControlFlow::Continue(());
    }
    let detail = "more heartbeats, pings or answers to no question than are accepted";
    ControlFlow::Break(End::refuse(RefusalCode::RateLimited, detail, true))
}

/// A frame as text; a struct of strings and numbers can always be written.
fn written(frame: &ServerFrame) -> Option<String> {
    serde_json::to_string(frame).ok()
}
