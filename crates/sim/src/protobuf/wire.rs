//! The wire format of protobuf: numbered fields one after the other.

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("proto: unexpected end of the message")]
    Short,
    #[error("proto: integer overflow")]
    Overflow,
    #[error("proto: illegal tag or wire type")]
    Tag,
    #[error("proto: wrong wire type for a field")]
    WireType,
    #[error("proto: a string is not valid UTF-8")]
    Utf8,
}

/// The content of one field, as far as the wire knows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Content<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

impl<'a> Content<'a> {
    /// A message, string or list of bytes.
    pub(super) fn bytes(self) -> Result<&'a [u8], Malformed> {
        match self {
            Content::Bytes(bytes) => Ok(bytes),
            Content::Varint(_) | Content::Fixed64(_) | Content::Fixed32(_) => Err(Malformed::WireType),
        }
    }

    /// A string.
    pub(super) fn text(self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Malformed::Utf8)
    }

    /// An integer of any width, or a boolean.
    pub(super) fn integer(self) -> Result<i64, Malformed> {
        match self {
            // Negative numbers are ten bytes long, in two's complement.
            Content::Varint(number) => Ok(number.cast_signed()),
            Content::Fixed64(_) | Content::Fixed32(_) | Content::Bytes(_) => Err(Malformed::WireType),
        }
    }

    /// A floating-point number.
    pub(super) fn number(self) -> Result<f64, Malformed> {
        match self {
            Content::Fixed64(bits) => Ok(f64::from_bits(bits)),
            Content::Fixed32(bits) => Ok(f32::from_bits(bits).into()),
            Content::Varint(_) | Content::Bytes(_) => Err(Malformed::WireType),
        }
    }
}

/// The fields of a message, in the order of the wire; ends after the first that cannot be read.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn of(message: &'a [u8]) -> Fields<'a> {
        Fields { rest: message }
    }

    fn field(&mut self) -> Result<(u32, Content<'a>), Malformed> {
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).ok().filter(|number| *number > 0).ok_or(Malformed::Tag)?;
        let content = match key & 7 {
            0 => Content::Varint(self.varint()?),
            1 => Content::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed::Overflow)?;
                Content::Bytes(self.take(length)?)
            }
            5 => Content::Fixed32(u32::from_le_bytes(self.fixed()?)),
            _ => return Err(Malformed::Tag),
        };
        Ok((number, content))
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.fixed()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed::Overflow)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(Malformed::Short)?;
        self.rest = rest;
        Ok(bytes)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Content<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}
