//! From the model's names and documentation to Rust's.

/// `capacityProviderStrategy` → `capacity_provider_strategy`, `ListTasksRequest` → `list_tasks_request`,
/// `kmsKeyARN` → `kms_key_arn`.
pub(crate) fn snake(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (at, &letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| letters[at]);
        let after = letters.get(at + 1);
        let begins_word = letter.is_ascii_uppercase()
            && before.is_some_and(|before| {
                !before.is_ascii_uppercase() || after.is_some_and(char::is_ascii_lowercase)
            });
        if begins_word && !out.ends_with('_') {
            out.push('_');
        }
        out.push(if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '_' });
    }
    out
}

/// A field's name: snake case, a keyword made raw.
pub(crate) fn field(name: &str) -> String {
    let snake = snake(name);
    match snake.as_str() {
        "type" | "use" | "match" | "ref" | "move" | "in" | "where" | "loop" | "static" | "enum"
        | "struct" => {
            format!("r#{snake}")
        }
        _ => snake,
    }
}

/// What serde's `rename_all = "camelCase"` makes of a field: if it is not the model's name, the field needs an
/// explicit name.
pub(crate) fn serde_camel(field: &str) -> String {
    let mut out = String::new();
    for (at, word) in field.trim_start_matches("r#").split('_').enumerate() {
        match word.chars().next() {
            Some(first) if at > 0 => {
                out.push(first.to_ascii_uppercase());
                out.push_str(&word[first.len_utf8()..]);
            }
            _ => out.push_str(word),
        }
    }
    out
}

/// With a capital in front.
pub(crate) fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect()
}

/// An enum value as a variant: `MANAGED_INSTANCES` → `ManagedInstances`, `awsvpc` → `Awsvpc`, `V1.1` → `V1_1`.
pub(crate) fn variant(value: &str) -> String {
    let all_caps = !value.contains(|letter: char| letter.is_ascii_lowercase());
    let mut out = String::new();
    for word in value.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        let digits_meet =
            out.ends_with(|l: char| l.is_ascii_digit()) && word.starts_with(|l: char| l.is_ascii_digit());
        if digits_meet {
            out.push('_');
        }
        let mut letters = word.chars();
        out.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        out.extend(letters.map(|letter| if all_caps { letter.to_ascii_lowercase() } else { letter }));
    }
    if out.starts_with(|letter: char| letter.is_ascii_digit()) {
        out.insert(0, 'V');
    }
    out
}

/// The first sentence of the model's HTML documentation, as plain text; empty if there is none.
pub(crate) fn first_sentence(html: &str) -> String {
    let mut text = String::new();
    let mut in_tag = false;
    for letter in html.chars() {
        match letter {
            '<' => in_tag = true,
            '>' => in_tag = false,
            _ if in_tag => {}
            _ => text.push(letter),
        }
    }
    let text = text.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    // Rustdoc reads brackets as links and angle brackets as HTML.
    let text = text.replace('[', "\\[").replace(']', "\\]").replace('<', "\\<").replace('>', "\\>");
    match text.find(". ") {
        Some(end) => text[..=end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_rust_and_go_back_to_the_wire() {
        for (wire, rust) in [
            ("capacityProviderStrategy", "capacity_provider_strategy"),
            ("sizeInGiB", "size_in_gi_b"),
            ("kmsKeyARN", "kms_key_arn"),
            ("ListTasksRequest", "list_tasks_request"),
            ("type", "r#type"),
        ] {
            assert_eq!(field(wire), rust);
        }
        assert_eq!(serde_camel("size_in_gi_b"), "sizeInGiB");
        assert_eq!(serde_camel("r#type"), "type");
        assert_ne!(serde_camel("kms_key_arn"), "kmsKeyARN");
    }

    #[test]
    fn enum_values_become_variants() {
        for (value, rust) in [
            ("MANAGED_INSTANCES", "ManagedInstances"),
            ("awsvpc", "Awsvpc"),
            ("json-file", "JsonFile"),
            ("V1.1", "V1_1"),
            ("EssentialContainerExited", "EssentialContainerExited"),
            ("Bytes/Second", "BytesSecond"),
        ] {
            assert_eq!(variant(value), rust);
        }
    }

    #[test]
    fn prose_is_cut_to_its_first_sentence() {
        assert_eq!(first_sentence("<p>Starts a <code>task</code>. And more.</p>"), "Starts a task.");
        assert_eq!(first_sentence(""), "");
    }
}
