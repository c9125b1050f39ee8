//! What a node is told and asked, in Erlang.

use anyhow::{Context, Result};

use super::OwnBroker;

/// A queue on the broker.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Messages that wait or are not acknowledged.
    pub messages: usize,
    /// Who consumes from it.
    pub consumers: usize,
}

/// Some of the channels that clients have opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// Those with a consumer.
    Consuming,
    /// Those without.
    Publishing,
}

impl OwnBroker {
    /// Lets the disk be too full for messages to be taken: who publishes is blocked.
    ///
    /// # Errors
    /// When the node does not obey.
    pub async fn block_publishers(&mut self) -> Result<()> {
        self.free_disk_space_limit("1000000GB").await
    }

    /// Ends [`block_publishers`](Self::block_publishers).
    ///
    /// # Errors
    /// When the node does not obey.
    pub async fn unblock_publishers(&mut self) -> Result<()> {
        self.free_disk_space_limit("1MB").await
    }

    async fn free_disk_space_limit(&mut self, limit: &str) -> Result<()> {
        self.eval(&format!("begin rabbit_disk_monitor:set_disk_free_limit(\"{limit}\"), [] end")).await?;
        Ok(())
    }

    /// Every queue, in the order of their names.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn queues(&mut self) -> Result<Vec<Queue>> {
        let list = "[io_lib:format(\"~ts ~p ~p;\", [element(4, N), M, C]) || Q <- rabbit_amqqueue:list(), \
                    [{name, N}, {messages, M}, {consumers, C}] <- \
                    [catch rabbit_amqqueue:info(Q, [name, messages, consumers])]]";
        let text = self.eval(list).await?;
        let queue = |text: &str| {
            let mut words = text.split(' ');
            let mut word = || words.next().context("name, messages and consumers");
            Ok(Queue { name: word()?.to_owned(), messages: word()?.parse()?, consumers: word()?.parse()? })
        };
        let mut queues = text.split_terminator(';').map(queue).collect::<Result<Vec<_>>>()?;
        queues.sort();
        Ok(queues)
    }

    /// Deletes a queue, even one that is exclusive to a connection.
    ///
    /// # Errors
    /// When there is none of this name.
    pub async fn delete_queue(&mut self, name: &str) -> Result<()> {
        let delete = format!(
            "begin {{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"/\">>, queue, <<\"{name}\">>)), \
             {{ok, _}} = rabbit_amqqueue:delete(Q, false, false, <<\"test\">>), [] end"
        );
        self.eval(&delete).await.map(drop)
    }

    /// Deletes an exchange. Who publishes to it finds its channel closed.
    ///
    /// # Errors
    /// When there is none of this name.
    pub async fn delete_exchange(&mut self, name: &str) -> Result<()> {
        let delete = format!(
            "begin ok = rabbit_exchange:delete(rabbit_misc:r(<<\"/\">>, exchange, <<\"{name}\">>), false, \
             <<\"test\">>), [] end"
        );
        self.eval(&delete).await.map(drop)
    }

    /// How many connections clients have.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn connections(&mut self) -> Result<usize> {
        Ok(self.eval("integer_to_list(length(rabbit_networking:connections()))").await?.parse()?)
    }

    /// Every connection of a client with its state, as text for a person.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn clients(&mut self) -> Result<String> {
        self.eval(
            "io_lib:format(\"~0tp\", [[catch rabbit_networking:connection_info(C, \
             [state, name, timeout, channels, connected_at, client_properties, peer_port, recv_cnt, send_cnt, send_pend]) \
             || C <- rabbit_networking:connections()]])",
        )
        .await
    }

    /// Closes every connection, with a word to the client. Returns how many there were.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn close_all_connections(&mut self) -> Result<usize> {
        self.close_connections("true").await
    }

    /// Closes the connections of this name, as their clients say it. Returns how many there were.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn close_connections_named(&mut self, name: &str) -> Result<usize> {
        let named = format!(
            "[{{client_properties, P}}] <- [catch rabbit_networking:connection_info(C, [client_properties])], \
             {{<<\"connection_name\">>, longstr, <<\"{name}\">>}} =:= \
             lists:keyfind(<<\"connection_name\">>, 1, P)"
        );
        self.close_connections(&named).await
    }

    /// Closes those connections `C` for which these qualifiers of a list comprehension hold. Some may be closing already.
    async fn close_connections(&mut self, which: &str) -> Result<usize> {
        let close = format!(
            "integer_to_list(length([catch rabbit_networking:close_connection(C, \"by a test\") \
             || C <- rabbit_networking:connections(), {which}]))"
        );
        Ok(self.eval(&close).await?.parse()?)
    }

    /// How many channels clients have opened.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn channels(&mut self) -> Result<usize> {
        Ok(self.eval("integer_to_list(length(rabbit_channel:list()))").await?.parse()?)
    }

    /// Closes channels, and not their connections, as for a client's fault. Returns how many.
    ///
    /// # Errors
    /// When the node does not answer.
    pub async fn close_channels(&mut self, which: Channels) -> Result<usize> {
        let with = which == Channels::Consuming;
        // The broker believes that the client has acknowledged what it never was given, which is such a fault.
        let close = format!(
            "integer_to_list(length([rabbit_channel:do(P, {{'basic.ack', 16#ffffffff, false}}) \
             || P <- rabbit_channel:list(), [{{consumer_count, C}}] <- \
             [catch rabbit_channel:info(P, [consumer_count])], (C > 0) =:= {with}]))"
        );
        Ok(self.eval(&close).await?.parse()?)
    }
}
