//! From a question to method and parameters, and from the bytes of a reply to an answer.
//!
//! The same for every transport: an answer that HTTP would refuse is refused over a socket too.

use super::{Endpoint, Exchange, LARGEST_HEADER_BATCH, Question};
use crate::{
    hex::{Data, Quantity},
    origin::Reply,
    wire::{block::BlockFields, envelope, logs::LogsSeed, receipt::ReceiptFields, request},
};
use alloy_primitives::B256;
use event::{
    Answer, Ask, BlockAnswer, BlockNumHash, ChainId, Fault, FaultClass, LogsAnswer, Receipt, Tag,
};
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

const RECEIPTS: &str = "eth_getBlockReceipts";
const RECEIPT: &str = "eth_getTransactionReceipt";
/// Receipts of single transactions that are asked for in one batch.
const SINGLE_RECEIPTS_AT_ONCE: usize = 50;

impl<E: Exchange> Endpoint<E> {
    /// Asks one question and reads its answer.
    pub(super) async fn answer(&self, ask: Ask) -> Result<Answer, Fault> {
        match ask {
            Ask::ChainId => {
                let id: Quantity = self.call("eth_chainId", "").await?;
                Ok(Answer::ChainId(ChainId(id.0)))
            }
            Ask::ClientVersion => {
                let version: String = self.call("web3_clientVersion", "").await?;
                Ok(Answer::ClientVersion(self.origin.secrets.clean(&version)))
            }
            Ask::Head(tag) => self.head(tag).await,
            Ask::Logs { filter, range } => {
                let place = format!(
                    r#""fromBlock":"0x{:x}","toBlock":"0x{:x}""#,
                    range.first(),
                    range.last()
                );
                let answer = self.logs(&request::filter(&filter, &place), range.count() > 1).await;
                Ok(Answer::Logs(answer?))
            }
            Ask::LogsByHash { filter, block } => {
                let place = format!(r#""blockHash":"{}""#, block.hash);
                Ok(Answer::Logs(self.logs(&request::filter(&filter, &place), false).await?))
            }
            Ask::Headers { range } => {
                let count = usize::try_from(range.count()).unwrap_or(LARGEST_HEADER_BATCH);
                let blocks = self.header_batch(range.first(), count).await?;
                blocks.into_iter().collect::<Result<_, _>>().map(Answer::Headers)
            }
            Ask::HeaderByHash { hash } => {
                Ok(Answer::Headers(vec![self.block_by_hash(hash).await?]))
            }
            Ask::Receipts { block } => Ok(Answer::Receipts(self.receipts(block).await?.0)),
            Ask::ReceiptsOf { blocks } => {
                let mut told = Vec::with_capacity(blocks.len());
                for block in blocks {
                    told.push(self.receipts(block).await.map(|(receipts, _)| receipts));
                }
                Ok(Answer::ReceiptsOf(told))
            }
            Ask::Syncing => {
                // `false`, or an object that tells how far it is.
                let method = "eth_syncing";
                match self.call::<serde_json::Value>(method, "").await? {
                    serde_json::Value::Bool(syncing) => Ok(Answer::Syncing(syncing)),
                    serde_json::Value::Object(_) => Ok(Answer::Syncing(true)),
                    _ => Err(self.origin.malformed(method, "neither false nor an object")),
                }
            }
            Ask::PeerCount => {
                let count: Quantity = self.call("net_peerCount", "").await?;
                Ok(Answer::PeerCount(count.0))
            }
            Ask::Code { address, block } => {
                let params = format!(r#""{address:#x}",{{"blockHash":"{}"}}"#, block.hash);
                let code: Data = self.call("eth_getCode", &params).await?;
                Ok(Answer::Bytes(code.0.into()))
            }
            Ask::Call { to, data, block } => {
                let params = format!(
                    r#"{{"to":"{to:#x}","data":"{data}"}},{{"blockHash":"{}"}}"#,
                    block.hash
                );
                let returned: Data = self.call("eth_call", &params).await?;
                Ok(Answer::Bytes(returned.0.into()))
            }
        }
    }

    async fn block_by_hash(&self, hash: B256) -> Result<BlockAnswer, Fault> {
        let method = "eth_getBlockByHash";
        let block: BlockFields = self.call(method, &format!(r#""{hash}",false"#)).await?;
        let block = block.into_block().map_err(|text| self.origin.malformed(method, &text))?;
        match block.hash == hash {
            true => Ok(block),
            false => {
                Err(self.origin.malformed(method, "the block has another hash than was asked"))
            }
        }
    }

    /// `null` or an unknown block for `safe` and `finalized` means that the node has no such tag.
    async fn head(&self, tag: Tag) -> Result<Answer, Fault> {
        let method = "eth_getBlockByNumber";
        let params = format!(r#""{}",false"#, request::tag(tag));
        let outcome = self.call::<BlockFields>(method, &params).await;
        let fields = outcome.map_err(|mut fault| {
            if tag != Tag::Latest && fault.class == FaultClass::Unknown {
                fault.class = FaultClass::Tag;
            }
            fault
        })?;
        fields.into_head().map(Answer::Head).map_err(|text| self.origin.malformed(method, &text))
    }

    async fn logs(&self, filter: &str, is_splittable: bool) -> Result<LogsAnswer, Fault> {
        let method = "eth_getLogs";
        let (id, reply) = self.one(method, filter).await?;
        let mut answer = envelope::one(&reply.body, id, LogsSeed)
            .map_err(|no_answer| self.origin.refusal(method, &reply, no_answer, is_splittable))?;
        self.origin.check_status(method, &reply)?;
        answer.bytes = reply.body.len() as u64;
        Ok(answer)
    }

    /// Asks for `count` headers from `first` in one batch; returns them in order, each with its own fault.
    pub(super) async fn header_batch(
        &self,
        first: u64,
        count: usize,
    ) -> Result<Vec<Result<BlockAnswer, Fault>>, Fault> {
        let method = "eth_getBlockByNumber";
        let id = self.counters.next(method, count as u64);
        let body = request::headers(id, first, count);
        let question = Question { method, first_id: id, calls: count as u64, body };
        let reply = self.exchange.exchange(question).await?;
        let refusal = |no_answer| self.origin.refusal(method, &reply, no_answer, false);
        let items = if count == 1 {
            let block = envelope::one(&reply.body, id, PhantomData::<BlockFields>);
            vec![Ok(block.map_err(refusal)?)]
        } else {
            envelope::items::<BlockFields>(&reply.body, id, count).map_err(refusal)?
        };
        self.origin.check_status(method, &reply)?;
        let answer = |(number, fields): (u64, Result<BlockFields, _>)| {
            let fields = fields.map_err(refusal)?;
            let block = fields.into_block().map_err(|text| self.origin.malformed(method, &text))?;
            if block.header.number != number {
                let text = format!("block {} instead of {number}", block.header.number);
                return Err(self.origin.malformed(method, &text));
            }
            Ok(block)
        };
        Ok((first..).zip(items).map(answer).collect())
    }

    /// Asks for the receipts of one block; returns them with the size of the reply in bytes. A node that knows no
    /// `eth_getBlockReceipts` is asked for those of its transactions (geth before 1.13, ganache, hardhat).
    pub(super) async fn receipts(&self, block: BlockNumHash) -> Result<(Vec<Receipt>, u64), Fault> {
        if self.single_receipts.get() == Some(&true) {
            return self.receipts_of_transactions(block).await;
        }
        match self.receipts_of_block(block).await {
            Err(fault)
                // Another question under way may have found it out meanwhile.
                if fault.class == FaultClass::Off && self.single_receipts.get() != Some(&false) =>
            {
                let told = self.receipts_of_transactions(block).await;
                match &told {
                    Ok((receipts, _)) if !receipts.is_empty() => {
                        let _ = self.single_receipts.set(true);
                    }
                    Err(fault) if fault.class == FaultClass::Off => {
                        let _ = self.single_receipts.set(false);
                    }
                    _ => {}
                }
                told.map_err(|_| fault)
            }
            told => told,
        }
    }

    async fn receipts_of_transactions(
        &self,
        block: BlockNumHash,
    ) -> Result<(Vec<Receipt>, u64), Fault> {
        let transactions = self.block_by_hash(block.hash).await?.transactions;
        let (mut receipts, mut bytes) = (Vec::with_capacity(transactions.len()), 0);
        for hashes in transactions.chunks(SINGLE_RECEIPTS_AT_ONCE) {
            let (fields, size) = self.by_hashes::<ReceiptFields>(RECEIPT, hashes).await?;
            receipts.extend(self.receipts_of(fields.into_iter().collect::<Result<_, _>>()?)?);
            bytes += size;
        }
        Ok((receipts, bytes))
    }

    async fn receipts_of_block(&self, block: BlockNumHash) -> Result<(Vec<Receipt>, u64), Fault> {
        let (id, reply) = self.one(RECEIPTS, &format!(r#""{}""#, block.hash)).await?;
        let fields = envelope::one(&reply.body, id, PhantomData::<Vec<ReceiptFields>>)
            .map_err(|no_answer| self.origin.refusal(RECEIPTS, &reply, no_answer, false))?;
        self.origin.check_status(RECEIPTS, &reply)?;
        Ok((self.receipts_of(fields)?, reply.body.len() as u64))
    }

    /// Asks for the receipts of several blocks in one batch; returns them in the order asked, each with
    /// its own fault, and the size of the reply in bytes.
    pub(super) async fn receipt_batch(
        &self,
        blocks: &[BlockNumHash],
    ) -> Result<(Vec<Result<Vec<Receipt>, Fault>>, u64), Fault> {
        let hashes: Vec<B256> = blocks.iter().map(|block| block.hash).collect();
        let (items, bytes) = self.by_hashes::<Vec<ReceiptFields>>(RECEIPTS, &hashes).await?;
        let told = items.into_iter().map(|fields| self.receipts_of(fields?));
        Ok((told.collect(), bytes))
    }

    /// Asks the same of several hashes in one batch; returns the results in the order asked, each with its own
    /// fault, and the size of the reply in bytes.
    async fn by_hashes<T: DeserializeOwned>(
        &self,
        method: &'static str,
        hashes: &[B256],
    ) -> Result<(Vec<Result<T, Fault>>, u64), Fault> {
        let count = hashes.len();
        let first_id = self.counters.next(method, count as u64);
        let body = request::by_hashes(method, first_id, hashes);
        let question = Question { method, first_id, calls: count as u64, body };
        let reply = self.exchange.exchange(question).await?;
        let refusal = |no_answer| self.origin.refusal(method, &reply, no_answer, false);
        let items = match count {
            1 => vec![envelope::one(&reply.body, first_id, PhantomData::<T>)],
            _ => envelope::items::<T>(&reply.body, first_id, count).map_err(refusal)?,
        };
        let told = items.into_iter().map(|item| {
            let told = item.map_err(refusal)?;
            self.origin.check_status(method, &reply)?;
            Ok(told)
        });
        Ok((told.collect(), reply.body.len() as u64))
    }

    fn receipts_of(&self, fields: Vec<ReceiptFields>) -> Result<Vec<Receipt>, Fault> {
        let receipts = fields.into_iter().map(ReceiptFields::into_receipt);
        let receipts = receipts.collect::<Result<_, _>>();
        receipts.map_err(|text| self.origin.malformed(RECEIPTS, &text))
    }

    /// Sends one call and returns its result.
    async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: &str,
    ) -> Result<T, Fault> {
        let (id, reply) = self.one(method, params).await?;
        let result = envelope::one(&reply.body, id, PhantomData::<T>)
            .map_err(|no_answer| self.origin.refusal(method, &reply, no_answer, false))?;
        self.origin.check_status(method, &reply)?;
        Ok(result)
    }

    /// Sends one call and returns its id with the reply.
    async fn one(&self, method: &'static str, params: &str) -> Result<(u64, Reply), Fault> {
        let first_id = self.counters.next(method, 1);
        let body = request::call(first_id, method, params);
        let question = Question { method, first_id, calls: 1, body };
        Ok((first_id, self.exchange.exchange(question).await?))
    }
}
