//! A call of a function that only reads, as text in and text out. Asks nobody.

use crate::{
    AbiError,
    decimal::{write_int, write_uint},
};
use alloy_dyn_abi::{DynSolType, DynSolValue, FunctionExt, JsonAbiExt, Specifier};
use alloy_json_abi::Function;
use alloy_primitives::hex;

/// A function with its arguments, ready to be called.
#[derive(Clone, Debug)]
pub struct Call {
    function: Function,
    data: Vec<u8>,
}

impl Call {
    /// Reads `balanceOf(address owner) view returns (uint256)` and its arguments as text. The
    /// function must return one value.
    pub fn parse(signature: &str, arguments: &[String]) -> Result<Self, AbiError> {
        let wrong = |cause: String| AbiError::Call { text: signature.to_owned(), cause };
        let text = signature.trim().trim_end_matches(';').trim_end();
        let function = Function::parse(text).map_err(|error| {
            let lines = error.to_string();
            wrong(lines.lines().last().unwrap_or("not a function").trim().to_owned())
        })?;
        if function.outputs.len() != 1 {
            return Err(wrong(
                "it must return one value, as in `... returns (uint256)`".to_owned(),
            ));
        }
        if function.inputs.len() != arguments.len() {
            let (wanted, given) = (function.inputs.len(), arguments.len());
            return Err(wrong(format!("it takes {wanted} arguments, {given} are given")));
        }
        let values = function.inputs.iter().zip(arguments).map(|(input, text)| {
            let ty: DynSolType = input.resolve().map_err(|error| wrong(error.to_string()))?;
            ty.coerce_str(text).map_err(|error| wrong(format!("argument `{text}`: {error}")))
        });
        let values: Vec<DynSolValue> = values.collect::<Result<_, _>>()?;
        let data = function.abi_encode_input(&values).map_err(|error| wrong(error.to_string()))?;
        Ok(Self { function, data })
    }

    /// Returns selector and arguments.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Reads what the call returned, as text: numbers in decimal, bytes and addresses as 0x and hex
    /// in lower case. `None` where it is no such value, as from an address without code.
    pub fn decode(&self, returned: &[u8]) -> Option<String> {
        let values = self.function.abi_decode_output(returned).ok()?;
        values.first().and_then(worded)
    }
}

fn worded(value: &DynSolValue) -> Option<String> {
    let mut text = Vec::new();
    match value {
        DynSolValue::Uint(number, _) => write_uint(&number.to_be_bytes(), &mut text),
        DynSolValue::Int(number, _) => write_int(&number.to_be_bytes(), &mut text),
        DynSolValue::Bool(is_true) => text.extend_from_slice(is_true.to_string().as_bytes()),
        DynSolValue::Address(address) => return Some(hex::encode_prefixed(address)),
        DynSolValue::FixedBytes(word, size) => {
            return Some(hex::encode_prefixed(word.get(..*size)?));
        }
        DynSolValue::Bytes(bytes) => return Some(hex::encode_prefixed(bytes)),
        DynSolValue::String(string) => return Some(string.clone()),
        _ => return None,
    }
    String::from_utf8(text).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_call_is_a_selector_and_its_arguments_and_its_answer_a_number() {
        let call = Call::parse("totalSupply() view returns (uint256)", &[]).unwrap();
        assert_eq!(hex::encode(call.data()), "18160ddd");
        let mut word = [0xff; 32];
        assert_eq!(
            call.decode(&word).unwrap(),
            "115792089237316195423570985008687907853269984665640564039457584007913129639935"
        );
        word[..31].fill(0);
        assert_eq!(call.decode(&word).unwrap(), "255");
        assert_eq!(call.decode(&[]), None, "an address without code answers nothing");

        let holder = "0x00000000000000000000000000000000000000aa".to_owned();
        let call = Call::parse(
            "function balanceOf(address owner) external view returns (int256)",
            std::slice::from_ref(&holder),
        );
        let call = call.unwrap();
        assert_eq!(hex::encode(&call.data()[..4]), "70a08231");
        assert_eq!(call.data()[35], 0xaa);
        assert_eq!(call.decode(&[0xff; 32]).unwrap(), "-1");
    }

    #[test]
    fn what_cannot_be_called_is_told() {
        for (signature, arguments, reason) in [
            ("totalSupply()", vec![], "one value"),
            ("balanceOf(address) returns (uint256)", vec![], "takes 1 arguments"),
            ("balanceOf(address) returns (uint256)", vec!["0x12".to_owned()], "argument `0x12`"),
            ("total Supply", vec![], ""),
        ] {
            let error = Call::parse(signature, &arguments).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
