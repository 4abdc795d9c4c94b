//! What is wrong with a configuration: every problem at once, each with its place and a fix. And what it was read from.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::files::Files;

/// A configuration file and its text.
#[derive(Debug)]
pub struct Source {
    /// Where it was read.
    pub path: PathBuf,
    /// All of it.
    pub text: String,
}

impl Source {
    /// What a relative path in this file is relative to.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or_else(|| Path::new("."))
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    path: PathBuf,
    place: Option<Place>,
    message: String,
    fix: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    line: usize,
    column: usize,
    excerpt: String,
}

impl Problem {
    /// A problem at a place in a file.
    pub fn at(source: &Source, span: &Range<usize>, message: impl Into<String>) -> Self {
        let before = source.text.get(..span.start).unwrap_or(&source.text);
        let line = before.matches('\n').count();
        let column = before.rsplit('\n').next().map_or(0, |start| start.chars().count());
        let excerpt = source.text.lines().nth(line).unwrap_or_default().trim_end().to_owned();
        let place = Some(Place { line: line + 1, column: column + 1, excerpt });
        Self { path: source.path.clone(), place, message: message.into(), fix: None }
    }

    /// A problem with a file as a whole.
    pub fn with_file(path: &Path, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), place: None, message: message.into(), fix: None }
    }

    /// The same problem, with the reason.
    #[must_use]
    pub fn because(mut self, why: &str) -> Self {
        self.message = format!("{}: {why}", self.message);
        self
    }

    /// Puts problems into the order of the files.
    pub fn sort(problems: &mut [Self]) {
        let place = |problem: &Self| problem.place.as_ref().map(|place| (place.line, place.column));
        problems.sort_by(|a, b| (&a.path, place(a)).cmp(&(&b.path, place(b))));
    }

    /// What to do about it.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.place {
            None => write!(f, "{path}: {}", self.message)?,
            Some(Place { line, column, excerpt }) => {
                let margin = " ".repeat(line.to_string().len());
                write!(f, "{path}:{line}:{column}: {}\n{line} | {excerpt}\n{margin} |", self.message)?;
            }
        }
        match (&self.fix, &self.place) {
            (Some(fix), Some(_)) => write!(f, " fix: {fix}"),
            (Some(fix), None) => write!(f, "\n  fix: {fix}"),
            (None, _) => Ok(()),
        }
    }
}

/// Where problems are collected while a configuration is read, and the files that it was read from.
#[derive(Debug, Default)]
pub struct Problems {
    problems: RefCell<Vec<Problem>>,
    /// Noted before they are read, and whatever comes of it: a reload looks at them again.
    pub files: RefCell<Files>,
}

impl Problems {
    /// One more.
    pub fn add(&self, problem: Problem) {
        self.problems.borrow_mut().push(problem);
    }

    /// All of them, in the order of the files; an error if there are any.
    pub fn into_result(self) -> Result<(), ConfigError> {
        let mut problems = self.problems.into_inner();
        Problem::sort(&mut problems);
        problems.dedup();
        if problems.is_empty() { Ok(()) } else { Err(ConfigError(problems)) }
    }
}

/// A configuration that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(Vec<Problem>);

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.0 {
            writeln!(f, "{problem}\n")?;
        }
        let count = self.0.len();
        write!(f, "{count} problem{} in the configuration", if count == 1 { "" } else { "s" })
    }
}
