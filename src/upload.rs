//! The multipart form of an upload: read strictly, checked, rebuilt.
