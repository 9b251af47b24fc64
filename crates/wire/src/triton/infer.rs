//! The v2 inference protocol in JSON: `/v2/models/<model>/infer`, with the tensors of Triton's
//! vLLM backend.
//!
//! ```text
//! {"inputs": [{"name": "text_input", "datatype": "BYTES", "shape": [1], "data": ["…"]}, …]}
//! {"model_name", "outputs": [{"name": "text_output", "datatype": "BYTES", "data": ["…"]}, …]}
//! ```
//!
//! There are no streams in JSON. Token counts are among the outputs where the model has them
//! (`num_input_tokens`, `num_output_tokens`).

use infermark_terms::{Ask, ChunkKind, DecodeFault};
use serde::Serialize;

use super::Sampling;
use crate::dialect::{Dialect, Taken, UnsupportedPrompt, json};
use crate::event::{Choice, Counts, Event, Facts, object};
use crate::json::{Malformed, RawString, Reader};

#[derive(Serialize)]
struct Body<'a> {
    inputs: [Tensor<'a>; 3],
}

#[derive(Serialize)]
struct Tensor<'a> {
    name: &'static str,
    datatype: &'static str,
    shape: [u32; 1],
    data: [Value<'a>; 1],
}

#[derive(Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Text(&'a str),
    Flag(bool),
}

pub(crate) fn body(dialect: &Dialect, ask: &Ask) -> Result<Vec<u8>, UnsupportedPrompt> {
    let text = dialect.api.text(&ask.prompt)?;
    let sampling = serde_json::to_string(&Sampling::of(dialect, ask));
    let sampling = sampling.expect("numbers always serialize");
    let tensor = |name, datatype, value| Tensor { name, datatype, shape: [1], data: [value] };
    Ok(json(&Body {
        inputs: [
            tensor("text_input", "BYTES", Value::Text(text)),
            tensor("stream", "BOOL", Value::Flag(false)),
            tensor("sampling_parameters", "BYTES", Value::Text(&sampling)),
        ],
    }))
}

pub(crate) fn read(event: &[u8]) -> Result<Event<'_>, DecodeFault> {
    let (mut text, mut counts) = (None, Counts::default());
    let reading = object(event, |json, key| {
        if key != b"outputs" {
            return json.skip();
        }
        let _count = json.array(|json| {
            let output = Output::read(json)?;
            match output.name.map(RawString::decoded).as_deref() {
                Some(b"text_output") => text = output.text,
                Some(b"num_input_tokens") => counts.prompt = output.count,
                Some(b"num_output_tokens") => counts.completion = output.count,
                _ => {}
            }
            Ok(())
        })?;
        Ok(())
    })?;
    let choice = text.map(|text| Choice::said(ChunkKind::Answer, Some(text)));
    reading.with(Facts { choice, counts, last: true })
}

/// One output tensor, whose first element counts.
#[derive(Default)]
struct Output<'a> {
    name: Option<RawString<'a>>,
    text: Option<RawString<'a>>,
    count: Option<u32>,
}

impl<'a> Output<'a> {
    fn read(json: &mut Reader<'a>) -> Result<Self, Malformed> {
        let mut output = Self::default();
        let _object = json.object(|json, key| {
            match key {
                b"name" => output.name = json.string()?,
                b"data" => {
                    let _count = json.array(|json| {
                        if json.is_string()? {
                            output.text = json.string()?;
                        } else if json.is_number()? {
                            output.count = output.count.or(json.whole()?);
                        } else {
                            json.skip()?;
                        }
                        Ok(())
                    })?;
                }
                _ => json.skip()?,
            }
            Ok(())
        })?;
        Ok(output)
    }
}
