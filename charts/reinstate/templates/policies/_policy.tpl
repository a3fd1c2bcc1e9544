{{/*
A policy and its binding: dict "root" $ "name" … "why" … "resource" … "operations" list
"variables" list of (dict "name" "expression") "validations" list of (dict "expression" "message" …)
*/}}
{{- define "reinstate.policy" -}}
{{- $name := printf "%s-%s" (include "reinstate.clustername" .root) .name }}
---
# {{ .why }}
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  {{- include "reinstate.metadata" (dict "root" .root "name" $name) | nindent 2 }}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - apiGroups: [reinstate.dev]
      apiVersions: ["*"]
      operations:
        {{- toYaml .operations | nindent 8 }}
      resources: [{{ .resource }}]
  {{- with .variables }}
  variables:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  validations:
    {{- toYaml .validations | nindent 4 }}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  {{- include "reinstate.metadata" (dict "root" .root "name" $name) | nindent 2 }}
spec:
  policyName: {{ $name }}
  validationActions:
    {{- toYaml .root.Values.policies.actions | nindent 4 }}
  {{- with .root.Values.policies.namespaceSelector }}
  matchResources:
    namespaceSelector:
      {{- toYaml . | nindent 6 }}
  {{- end }}
{{- end }}
