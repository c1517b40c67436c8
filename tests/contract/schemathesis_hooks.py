"""Media types that schemathesis does not know."""

import schemathesis

# Bytes of a resumable upload (tus 1.0.0, "PATCH").
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")
