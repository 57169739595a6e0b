//! The configuration that users were promised to work as it stands.
//! In: where the receivers of a test listen. Out: its text.
//! Never: differs from the promise but for addresses.
//! Start at [`CONFIG`].

/// Word for word what users were promised to work.
pub const CONFIG: &str = r#"
rule_files: [rules/*.yml]
evaluation: { interval: 1s }          # default 15s; groups may set their own
route:                                 # Alertmanager's tree, plus escalation_policy
  receiver: ops
  group_by: [alertname, cluster]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 4h
  escalation_policy: default
receivers:                             # Alertmanager's receivers
  - name: ops
    webhook_configs: [{ url: "http://127.0.0.1:19000/announce", send_resolved: true }]
  - name: first
    webhook_configs: [{ url: "http://127.0.0.1:19000/first" }]
  - name: second
    email_configs: [{ to: second@example.org, from: watchfire@example.org, smarthost: "127.0.0.1:19025", require_tls: false }]
escalation_policies:
  - name: default
    repeat: 1                          # rounds after the first
    steps:
      - { after: 0s, notify: [{ receiver: first }] }
      - { after: 5s, notify: [{ receiver: second }] }
correlation:
  rules:
    - { name: service, match: ['service=~".+"'], by: [cluster, service], window: 10m }
inhibit_rules: []
storage: { path: ./data }
"#;

/// The same, with the receivers' ports on loopback.
pub fn config_with(http: u16, mail: u16) -> String {
    CONFIG.replace(":19000", &format!(":{http}")).replace(":19025", &format!(":{mail}"))
}
