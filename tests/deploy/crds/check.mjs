// Reads a JSON list of objects from standard input and exits with a message for each that its kind's
// validator refuses. Kinds are looked up below; an unknown one is an error.
import { readFileSync } from "node:fs";

import { HTTPRoute } from "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/HTTPRoute";
import { ScaledObject } from "@kubernetes-models/keda/keda.sh/v1alpha1/ScaledObject";
import { PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule";
import { ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor";

const KINDS = { HTTPRoute, PrometheusRule, ScaledObject, ServiceMonitor };

const problems = [];
for (const object of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    new KINDS[object.kind](object).validate();
  } catch (error) {
    problems.push(`${object.kind} ${object.metadata?.name}: ${error.message}`);
  }
}
if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exit(1);
}
