//! An identity token in, verified claims out.
