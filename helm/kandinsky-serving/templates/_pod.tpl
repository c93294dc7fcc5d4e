{{/* What the pods of all tiers have in common. Each takes a dict: root, tier, and values (of kandinsky.tier). */}}

{{- define "kandinsky.podMetadata" -}}
# Nothing here changes with the chart's version: a new chart restarts no worker that it does not change.
labels:
  {{- include "kandinsky.tierSelector" . | nindent 2 }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with .values.podAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "kandinsky.podSecurity" -}}
securityContext:
  runAsNonRoot: true
  {{- with .root.Values.podSecurity.runAsUser }}
  runAsUser: {{ . }}
  {{- end }}
  {{- with .root.Values.podSecurity.runAsGroup }}
  runAsGroup: {{ . }}
  {{- end }}
  {{- with .root.Values.podSecurity.fsGroup }}
  fsGroup: {{ . }}
  fsGroupChangePolicy: OnRootMismatch
  {{- end }}
  {{- if and (ne .tier "gateway") .root.Values.podSecurity.workerGroups }}
  supplementalGroups: {{ toJson .root.Values.podSecurity.workerGroups }}
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{- define "kandinsky.containerSecurity" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- define "kandinsky.podSpec" -}}
serviceAccountName: {{ include "kandinsky.serviceAccount" . | quote }}
automountServiceAccountToken: false
# A Service called kandinsky would otherwise give pods a KANDINSKY_PORT, which is the name of a flag.
enableServiceLinks: false
{{- with .root.Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.topologySpread }}
topologySpreadConstraints:
  {{- range . }}
  - topologyKey: {{ .topologyKey | quote }}
    maxSkew: {{ .maxSkew }}
    whenUnsatisfiable: {{ .whenUnsatisfiable }}
    labelSelector:
      matchLabels:
        {{- include "kandinsky.tierSelector" $ | nindent 8 }}
    # Pods of the version before don't count.
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
# The sleep before SIGTERM, the longest job, and time to close.
terminationGracePeriodSeconds: {{ add .values.preStopSeconds .values.drainSeconds 30 }}
{{ include "kandinsky.podSecurity" . }}
{{- end }}

{{/* The flags that all servers share. */}}
{{- define "kandinsky.serverArgs" -}}
- "--host={{ .root.Values.listenAddress }}"
- "--port={{ .values.ports.grpc }}"
- "--ops-host={{ .root.Values.listenAddress }}"
- "--health-port={{ .values.ports.health }}"
- "--metrics-port={{ .values.ports.metrics }}"
- "--drain-seconds={{ .values.drainSeconds }}"
- "--log-level={{ .root.Values.logLevel }}"
{{- with .root.Values.monitoring.tracingEndpoint }}
- "--tracing={{ . }}"
{{- end }}
{{- end }}

{{/* Ports, probes and the pause before SIGTERM. The probes ask the plaintext health port; "readiness" serves from the end of warm-up
until SIGTERM, the empty name as long as the event loop runs. */}}
{{- define "kandinsky.portsAndProbes" -}}
ports:
  - name: grpc
    containerPort: {{ .values.ports.grpc }}
  - name: health
    containerPort: {{ .values.ports.health }}
  - name: metrics
    containerPort: {{ .values.ports.metrics }}
startupProbe:
  grpc:
    port: {{ .values.ports.health }}
    service: readiness
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: {{ div (add (default 60 .values.startupSeconds) 4) 5 }}
readinessProbe:
  grpc:
    port: {{ .values.ports.health }}
    service: readiness
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 2
livenessProbe:
  grpc:
    port: {{ .values.ports.health }}
  periodSeconds: 10
  timeoutSeconds: 10
  failureThreshold: 6
lifecycle:
  preStop:
    sleep:
      seconds: {{ .values.preStopSeconds }}
{{- end }}

{{/* Requests equal limits: a pod gets what it was promised. */}}
{{- define "kandinsky.resources" -}}
{{- $resources := dict "cpu" .values.resources.cpu "memory" .values.resources.memory -}}
{{- if eq (get .values "device") "Ascend" -}}
{{- $_ := set $resources .values.accelerator.resource 1 -}}
{{- end -}}
resources:
  requests:
    {{- toYaml $resources | nindent 4 }}
  limits:
    {{- toYaml $resources | nindent 4 }}
{{- end }}
