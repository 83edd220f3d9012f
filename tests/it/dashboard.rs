//! The dashboard in a real browser: what a person sees, and what a page of another site can make of it.

mod attacks;
mod pages;
