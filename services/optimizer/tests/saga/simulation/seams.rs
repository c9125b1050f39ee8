//! What sagas reach, through which everything goes wrong: the cloud, the cluster, the journal.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use cloud::{
    CloudChanges, CloudError, CloudReads, EksCluster, Group, GroupName, Instance, InstanceId, Launch, Offer,
    Zone,
};
use contracts::Timestamp;
use optimizer::{
    phases::Subject,
    reach::{ClusterChanges, ClusterReads, Drained, Forecast, Node, ReachError},
    saga::{Claimed, Entry, Lease, Log, LogError, NewSaga, Owner},
};
use sim::cloud::{Change, World};
use store::StoreError;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::{
    chaos::{Fate, Process},
    run::Everything,
};
use crate::memory::{BEGINNING, MemoryLog};

/// The cloud and the cluster as one process sees them.
#[derive(Clone)]
pub(super) struct Seam {
    pub(super) process: Process,
    pub(super) everything: Arc<Mutex<Everything>>,
    pub(super) began: Instant,
}

impl Seam {
    pub(super) fn now(&self) -> jiff::Timestamp {
        let millis = i64::try_from(self.began.elapsed().as_millis()).unwrap();
        jiff::Timestamp::from_millisecond(BEGINNING + millis).unwrap()
    }

    fn all(&self) -> MutexGuard<'_, Everything> {
        self.everything.lock().unwrap()
    }

    async fn read<T>(&self, what: &str, read: impl FnOnce(&mut Everything) -> T) -> Result<T, String> {
        self.process.can_die(&format!("before it reads {what}")).await;
        self.process.travels().await;
        if self.process.chaos.fails() {
            return Err(format!("no answer: {what}"));
        }
        let answer = read(&mut self.all());
        self.process.travels().await;
        Ok(answer)
    }

    /// Does something that may be lost, late or done twice.
    async fn change<T: Send + 'static>(
        &self,
        what: String,
        change: impl Fn(&Seam) -> T + Send + Sync + 'static,
    ) -> Result<T, String> {
        self.process.can_die(&format!("before it does: {what}")).await;
        let fate = self.process.chaos.fate();
        if fate != Fate::Answered {
            self.process.story.tell(format!("{}: {what}: {fate:?}", self.process.name));
        }
        let lost = || Err(format!("no answer: {what}"));
        match fate {
            Fate::RequestLost => {
                self.process.travels().await;
                return lost();
            }
            Fate::Late(by) => {
                // It happens also when the process is gone by then.
                let seam = self.clone();
                tokio::spawn(async move {
                    sleep(by).await;
                    change(&seam);
                });
                self.process.travels().await;
                return lost();
            }
            Fate::Answered | Fate::Twice | Fate::AnswerLost => {}
        }
        self.process.travels().await;
        let mut answer = change(self);
        self.process.can_die(&format!("after it has done: {what}")).await;
        if fate == Fate::Twice {
            answer = change(self);
        }
        self.process.travels().await;
        if fate == Fate::AnswerLost { lost() } else { Ok(answer) }
    }

    async fn cloud_read<T>(
        &self,
        what: &str,
        read: impl FnOnce(&mut World, jiff::Timestamp) -> Result<T, CloudError>,
    ) -> Result<T, CloudError> {
        let now = self.clone();
        let answer = self.read(what, |all| read(&mut all.cloud, now.now())).await;
        answer.unwrap_or_else(|message| Err(CloudError::Unknown { message }))
    }

    async fn cloud_change(&self, change: Change) -> Result<InstanceId, CloudError> {
        if self.process.chaos.fails() && self.process.chaos.chance(30) {
            return Err(CloudError::Throttled);
        }
        let what = format!("{change:?}").chars().take(60).collect();
        let done = self
            .change(what, move |seam| {
                let now = seam.now();
                let all = &mut *seam.all();
                let done = all.cloud.change(now, change.clone());
                if let (Change::Launch(_), Ok(id)) = (&change, &done) {
                    all.bought.insert(id.clone());
                }
                done
            })
            .await;
        done.unwrap_or_else(|message| Err(CloudError::Unknown { message }))
    }

    async fn cluster_read<T>(
        &self,
        what: &str,
        read: impl FnOnce(&mut Everything) -> T,
    ) -> Result<T, ReachError> {
        self.read(what, read).await.map_err(ReachError::Unknown)
    }
}

#[async_trait]
impl CloudReads for Seam {
    async fn instance(&self, id: &InstanceId) -> Result<Option<Instance>, CloudError> {
        self.cloud_read("an instance", |world, now| world.instance(now, id)).await
    }

    async fn instances_tagged(&self, tag: &str) -> Result<Vec<Instance>, CloudError> {
        self.cloud_read("tagged instances", |world, now| world.instances_tagged(now, tag)).await
    }

    async fn group(&self, name: &GroupName) -> Result<Option<Group>, CloudError> {
        self.cloud_read("the group", |world, now| world.group(now, name)).await
    }

    async fn offers(&self, zone: &Zone) -> Result<Vec<Offer>, CloudError> {
        self.cloud_read("offers", |world, now| world.offers(now, zone)).await
    }

    async fn eks_cluster(&self, name: &str) -> Result<Option<EksCluster>, CloudError> {
        self.cloud_read("the cluster", |world, now| world.eks_cluster(now, name)).await
    }
}

#[async_trait]
impl CloudChanges for Seam {
    async fn launch(&self, launch: &Launch) -> Result<InstanceId, CloudError> {
        self.cloud_change(Change::Launch(launch.clone())).await
    }

    async fn attach(&self, group: &GroupName, id: &InstanceId) -> Result<(), CloudError> {
        self.cloud_change(Change::Attach { group: group.clone(), id: id.clone() }).await.map(drop)
    }

    async fn detach(&self, group: &GroupName, id: &InstanceId) -> Result<(), CloudError> {
        self.cloud_change(Change::Detach { group: group.clone(), id: id.clone() }).await.map(drop)
    }

    async fn terminate_in_group(&self, id: &InstanceId) -> Result<(), CloudError> {
        self.cloud_change(Change::TerminateInGroup { id: id.clone() }).await.map(drop)
    }

    async fn terminate(&self, id: &InstanceId) -> Result<(), CloudError> {
        self.cloud_change(Change::Terminate { id: id.clone() }).await.map(drop)
    }
}

#[async_trait]
impl ClusterReads for Seam {
    async fn node_of(&self, instance: &InstanceId) -> Result<Option<Node>, ReachError> {
        self.cluster_read("a node", |all| {
            all.cluster.node_of(instance).map(|(name, node)| Node {
                name: name.clone(),
                is_ready: node.is_ready,
                is_cordoned: node.is_cordoned,
            })
        })
        .await
    }

    async fn ready_nodes(&self) -> Result<usize, ReachError> {
        self.cluster_read("the nodes", |all| all.cluster.ready_nodes()).await
    }

    async fn missing(&self, node: &str) -> Result<Vec<String>, ReachError> {
        self.cluster_read("a node's readiness", |all| match all.cluster.nodes.get(node) {
            Some(node) if node.is_ready && node.has_daemons && !node.is_cordoned => Vec::new(),
            Some(_) => vec!["it is not ready".to_owned()],
            None => vec!["it is gone".to_owned()],
        })
        .await
    }

    async fn forecast(&self, node: &str) -> Result<Forecast, ReachError> {
        self.cluster_read("a forecast", |all| Forecast {
            to_evict: all.cluster.pods_on(node).len(),
            hindrances: Vec::new(),
        })
        .await
    }

    async fn volumes(&self, node: &str) -> Result<Vec<String>, ReachError> {
        self.cluster_read("volumes", |all| {
            let left = all.cluster.nodes.get(node).map_or(0, |node| node.volumes);
            (0..left).map(|number| format!("volume {number}")).collect()
        })
        .await
    }
}

impl Seam {
    /// Changes a node if it still is as it was when it was read: a late change comes to nothing.
    async fn set_cordoned(&self, name: &str, to: bool) -> Result<(), ReachError> {
        let node = name.to_owned();
        let read = self.cluster_read("the node", move |all| {
            all.cluster.nodes.get(&node).map(|node| (node.version, node.is_cordoned))
        });
        let Some((version, is)) = read.await? else {
            return if to { Err(ReachError::Refused("there is no such node".to_owned())) } else { Ok(()) };
        };
        if is && to {
            return Ok(());
        }
        let node = name.to_owned();
        let done = self
            .change(format!("set cordoned to {to}"), move |seam| {
                let all = &mut *seam.all();
                let there = all.cluster.nodes.get_mut(&node).filter(|node| node.version == version);
                there.map(|node| {
                    node.version += 1;
                    node.is_cordoned = to;
                })
            })
            .await;
        match done {
            Ok(Some(())) => Ok(()),
            Ok(None) => Err(ReachError::Unknown("the node was changed meanwhile".to_owned())),
            Err(why) => Err(ReachError::Unknown(why)),
        }
    }
}

#[async_trait]
impl ClusterChanges for Seam {
    async fn cordon(&self, node: &str) -> Result<(), ReachError> {
        self.set_cordoned(node, true).await
    }

    async fn uncordon(&self, node: &str) -> Result<(), ReachError> {
        self.set_cordoned(node, false).await
    }

    async fn drain(
        &self,
        node: &str,
        deadline: Duration,
        cancel: &CancellationToken,
    ) -> Result<Drained, ReachError> {
        let began = Instant::now();
        let mut evicted = 0;
        loop {
            let pods = self.all().cluster.pods_on(node);
            let Some(pod) = pods.first().cloned() else { return Ok(Drained::Empty(evicted)) };
            if cancel.is_cancelled() {
                return Ok(Drained::Not("cancelled".to_owned()));
            }
            if began.elapsed() > deadline {
                return Ok(Drained::Not("the deadline has passed".to_owned()));
            }
            let name = pod.clone();
            let done = self
                .change(format!("evict {pod}"), move |seam| {
                    let newcomer = seam.all().cluster.evict(&name);
                    if let Some(newcomer) = newcomer.clone() {
                        let seam = seam.clone();
                        tokio::spawn(async move {
                            sleep(seam.process.chaos.millis(500, 5000)).await;
                            if let Some(pod) = seam.all().cluster.pods.get_mut(&newcomer) {
                                pod.is_ready = true;
                            }
                        });
                    }
                    newcomer.is_some()
                })
                .await;
            evicted += usize::from(done == Ok(true));
            sleep(Duration::from_millis(500)).await;
        }
    }
}

/// The journal as one process sees it.
pub(super) struct Journal {
    pub(super) process: Process,
    pub(super) log: Arc<MemoryLog>,
}

fn away() -> LogError {
    LogError::Store(StoreError::Unavailable(sqlx::Error::PoolTimedOut))
}

impl Journal {
    async fn write<T>(
        &self,
        what: &str,
        write: impl Future<Output = Result<T, LogError>>,
    ) -> Result<T, LogError> {
        self.process.can_die(&format!("before it writes {what}")).await;
        let fails = self.process.chaos.fails();
        if fails && self.process.chaos.chance(50) {
            return Err(away());
        }
        let written = write.await;
        self.process.can_die(&format!("after it has written {what}")).await;
        if fails { Err(away()) } else { written }
    }
}

#[async_trait]
impl Log for Journal {
    fn now(&self) -> Timestamp {
        self.log.now()
    }

    async fn begin(&self, saga: &NewSaga, subjects: &[Subject]) -> Result<(), LogError> {
        self.write("a saga", self.log.begin(saga, subjects)).await
    }

    async fn claim(&self, owner: &Owner, lease: Duration) -> Result<Option<Claimed>, LogError> {
        self.write("that it takes a saga on", self.log.claim(owner, lease)).await
    }

    async fn renew(&self, lease: Lease, duration: Duration) -> Result<bool, LogError> {
        self.write("a lease", self.log.renew(lease, duration)).await
    }

    async fn append(&self, lease: Lease, entry: &Entry) -> Result<(), LogError> {
        let text = serde_json::to_value(&entry.event).unwrap();
        let what =
            format!("{} {}", text["what"].as_str().unwrap(), text["phase"].as_str().unwrap_or_default());
        self.write(&what, self.log.append(lease, entry)).await
    }

    async fn release(&self, lease: Lease) -> Result<(), LogError> {
        self.write("that it lets a saga go", self.log.release(lease)).await
    }
}
