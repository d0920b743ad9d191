// An implementation in Rust that answers the exported golden vectors, with the standard library alone (docs/conformance.md).
//
//     implicit-bias vectors export cases
//     rustc -O -o answers docs/conformance.rs && ./answers cases/?*-???.txt
//     implicit-bias conformance --answers cases
//
// It offers forward, loss, gradient, descent and stable_rank, and refuses bad input. phi'(0) = slope.
// With `--single` after the name of the program it computes in f32: for cases of `export --dtype float32`.
use std::{collections::HashMap, env, fs, process};

type Matrix = Vec<Vec<f64>>;

#[derive(Default)]
struct Case {
    function: String,
    arrays: HashMap<String, Matrix>, // a vector is a matrix of one column
    axes: HashMap<String, usize>,
    numbers: HashMap<String, f64>,
    loss: String,
    single: bool,
}

impl Case {
    fn read(text: &str, single: bool) -> Option<Case> {
        let mut words = text.split_whitespace();
        let mut case = Case { single, ..Case::default() };
        loop {
            match words.next()? {
                "end" => return Some(case),
                "case" => drop(words.next()?),
                "function" => case.function = words.next()?.to_string(),
                "number" => drop(case.numbers.insert(words.next()?.to_string(), words.next()?.parse().ok()?)),
                "word" => {
                    words.next()?;
                    case.loss = words.next()?.to_string();
                }
                kind => {
                    let name = words.next()?.to_string();
                    let rows: usize = words.next()?.parse().ok()?;
                    let columns: usize = if kind == "matrix" { words.next()?.parse().ok()? } else { 1 };
                    let row = |words: &mut std::str::SplitWhitespace| -> Option<Vec<f64>> {
                        (0..columns).map(|_| words.next()?.parse().ok()).collect()
                    };
                    let read: Option<Matrix> = (0..rows).map(|_| row(&mut words)).collect();
                    case.axes.insert(name.clone(), if kind == "matrix" { 2 } else { 1 });
                    case.arrays.insert(name, read?);
                }
            }
        }
    }

    /// To the nearest number of the format in which the program computes.
    fn round(&self, x: f64) -> f64 {
        if self.single { x as f32 as f64 } else { x }
    }

    fn sum(&self, terms: impl Iterator<Item = f64>) -> f64 {
        terms.fold(0.0, |sum, x| self.round(sum + self.round(x)))
    }

    fn column(&self, name: &str) -> Vec<f64> {
        self.arrays.get(name).map_or(vec![], |rows| rows.iter().map(|row| row[0]).collect())
    }

    fn preactivation(&self, w: &[f64], x: &[f64]) -> f64 {
        self.sum(w.iter().zip(x).map(|(w, x)| w * x))
    }

    fn slope(&self, z: f64) -> f64 {
        if z > 0.0 { 1.0 } else { self.numbers["slope"] }
    }

    fn output(&self, weights: &Matrix, x: &[f64]) -> f64 {
        let hidden = weights.iter().map(|w| self.preactivation(w, x));
        self.sum(hidden.zip(self.column("a")).map(|(z, a)| a * self.round(self.slope(z) * z)))
    }

    /// log(1 + e^-q) or e^-q, without overflow or cancellation.
    fn loss_at(&self, q: f64) -> f64 {
        let value = if self.loss == "logistic" { (-q).max(0.0) + (-q.abs()).exp().ln_1p() } else { (-q).exp() };
        self.round(value)
    }

    /// g = -l'(q).
    fn weight_at(&self, q: f64) -> f64 {
        let small = (-q.abs()).exp();
        let logistic = if q > 0.0 { small / (1.0 + small) } else { 1.0 / (1.0 + small) };
        self.round(if self.loss == "logistic" { logistic } else { (-q).exp() })
    }

    fn mean_loss(&self) -> f64 {
        let (samples, y) = (&self.arrays["X"], self.column("y"));
        let values = samples.iter().zip(&y).map(|(x, y)| self.loss_at(y * self.output(&self.arrays["W"], x)));
        self.round(self.sum(values) / y.len() as f64)
    }

    fn gradient(&self, weights: &Matrix) -> Matrix {
        let (samples, y, a) = (&self.arrays["X"], self.column("y"), self.column("a"));
        let g: Vec<f64> = samples.iter().zip(&y).map(|(x, y)| self.weight_at(y * self.output(weights, x))).collect();
        let row = |w: &Vec<f64>, a: f64| -> Vec<f64> {
            let factor = |i: usize| self.round(-g[i] * y[i] * a * self.slope(self.preactivation(w, &samples[i])));
            let factors: Vec<f64> = (0..y.len()).map(factor).collect();
            let entry = |k: usize| self.sum((0..y.len()).map(|i| factors[i] * samples[i][k])) / y.len() as f64;
            (0..w.len()).map(|k| self.round(entry(k))).collect()
        };
        weights.iter().zip(a).map(|(w, a)| row(w, a)).collect()
    }

    fn descent(&self) -> Matrix {
        let mut weights = self.arrays["W"].clone();
        for _ in 0..self.numbers["steps"] as usize {
            let gradient = self.gradient(&weights);
            for (w, g) in weights.iter_mut().flatten().zip(gradient.iter().flatten()) {
                *w = self.round(*w - self.round(self.numbers["step_size"] * g));
            }
        }
        weights
    }

    /// ‖W‖_F²/σ₁²: σ₁² is the largest eigenvalue of W Wᵀ, from the diagonal that Jacobi's rotations leave.
    fn stable_rank(&self) -> f64 {
        let weights = &self.arrays["W"];
        let largest = weights.iter().flatten().fold(0.0, |most: f64, w| most.max(w.abs()));
        let unit: Matrix = weights.iter().map(|row| row.iter().map(|w| w / largest).collect()).collect();
        let product = |s: &Vec<f64>, t: &Vec<f64>| s.iter().zip(t).map(|(s, t)| s * t).sum::<f64>();
        let mut gram: Matrix = unit.iter().map(|s| unit.iter().map(|t| product(s, t)).collect()).collect();
        let m = gram.len();
        let trace: f64 = (0..m).map(|j| gram[j][j]).sum();
        for _ in 0..60 {
            for p in 0..m {
                for q in p + 1..m {
                    rotate(&mut gram, p, q);
                }
            }
        }
        self.round(trace / (0..m).fold(0.0, |most: f64, j| most.max(gram[j][j])))
    }

    fn acceptable(&self) -> bool {
        let finite = |rows: &Matrix| rows.iter().flatten().all(|x| x.is_finite());
        if !self.arrays.values().all(finite) {
            return false;
        }
        let nonzero = |row: &Vec<f64>| row.iter().any(|x| *x != 0.0);
        if self.function == "stable_rank" {
            return self.arrays["W"].iter().any(nonzero);
        }
        let (weights, samples, a, y) = (&self.arrays["W"], &self.arrays["X"], self.column("a"), self.column("y"));
        let slope = self.numbers["slope"];
        let shapes = self.axes["X"] == 2 && weights.len() == a.len() && weights[0].len() == samples[0].len();
        if !shapes || !(0.0..=1.0).contains(&slope) || a.contains(&0.0) || !samples.iter().all(nonzero) {
            return false;
        }
        if self.function == "forward" {
            return true;
        }
        let labels = y.len() == samples.len() && y.iter().all(|y| y.abs() == 1.0);
        let twins = |i: usize| (0..i).any(|k| samples[k] == samples[i] && y[k] != y[i]);
        if !labels || (0..y.len()).any(twins) || !["logistic", "exponential"].contains(&self.loss.as_str()) {
            return false;
        }
        let step = self.numbers.get("step_size").copied().unwrap_or(1.0);
        step > 0.0 && step.is_finite() && self.numbers.get("steps").copied().unwrap_or(0.0) >= 0.0
    }

    /// Numbers row by row, or the word refused; nothing for what is not offered.
    fn answer(&self) -> Option<String> {
        if !["forward", "loss", "gradient", "descent", "stable_rank"].contains(&self.function.as_str()) {
            return None;
        }
        if !self.acceptable() {
            return Some("refused\n".to_string());
        }
        let numbers = match self.function.as_str() {
            "forward" => self.arrays["X"].iter().map(|x| self.output(&self.arrays["W"], x)).collect(),
            "loss" => vec![self.mean_loss()],
            "gradient" => self.gradient(&self.arrays["W"]).concat(),
            "descent" => self.descent().concat(),
            _ => vec![self.stable_rank()],
        };
        Some(numbers.iter().map(|x| format!("{x:e}\n")).collect()) // as many digits as the number needs
    }
}

/// Make entry (p, q) of a symmetric matrix 0.
fn rotate(gram: &mut Matrix, p: usize, q: usize) {
    if gram[p][q] == 0.0 {
        return;
    }
    let theta = (gram[q][q] - gram[p][p]) / (2.0 * gram[p][q]);
    let tangent = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let cosine = 1.0 / tangent.hypot(1.0);
    let sine = tangent * cosine;
    for k in 0..gram.len() {
        let (s, t) = (gram[k][p], gram[k][q]);
        (gram[k][p], gram[k][q]) = (cosine * s - sine * t, sine * s + cosine * t);
    }
    for k in 0..gram.len() {
        let (s, t) = (gram[p][k], gram[q][k]);
        (gram[p][k], gram[q][k]) = (cosine * s - sine * t, sine * s + cosine * t);
    }
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let single = arguments.first().is_some_and(|word| word == "--single");
    for path in &arguments[single as usize..] {
        let text = fs::read_to_string(path).unwrap_or_else(|error| {
            eprintln!("{path}: {error}");
            process::exit(1)
        });
        if let Some(answer) = Case::read(&text, single).and_then(|case| case.answer()) {
            let answers = path.replace(".txt", ".answer.txt");
            if let Err(error) = fs::write(&answers, answer) {
                eprintln!("{answers}: {error}");
                process::exit(1)
            }
        }
    }
}
