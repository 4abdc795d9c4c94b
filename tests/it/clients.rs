//! Real clients publish to real indexes through the gateway.
